"""Examples:
  cpd import imagenet-r50 --weights data/weights/resnet50-0676ba61.pth
  cpd import cpd-r50-instagram --weights save_200.pth --output results/pretrain/cpd-r50-instagram

Layouts: the authors' (MCG-NJU/CPD-Video: `visual_encoder.*`, `vis_emb`, `text_emb`, `textual_encoder.*`),
torchvision's ResNet, SlowFast's and PyTorchVideo's "slow". The experiment says which network the file holds
(docs/encoders.md has an entry for each); every tensor is accounted for, and the list is kept in import.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.config import load_config
from cpd.errors import CpdError

if TYPE_CHECKING:
    import argparse

    from cpd.config import Experiment


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `cpd import`."""
    parser.add_argument("experiment", help="key of `experiments` in the config: the network that the file holds")
    parser.add_argument("--weights", metavar="FILE", help="checkpoint or https address (default: backbone.weights)")
    parser.add_argument("--seed", type=int, default=0, help="of what the file does not hold (default: 0)")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="run folder (default: R/pretrain/EXPERIMENT)")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Import, and print every tensor's fate."""
    from cpd.config import experiment

    config = load_config(*args.configfile)
    exp = _with_weights(experiment(config, args.experiment), args.weights, name=args.experiment)
    folder = args.output or Path(config.results) / "pretrain" / args.experiment
    from cpd.models.importing import import_run

    adopted = import_run(folder, exp, config.encoders[exp.encoder], seed=args.seed)
    print("\n".join(adopted.lines()))
    print(f"{folder}: written")
    return 0


def _with_weights(exp: Experiment, weights: str | None, *, name: str) -> Experiment:
    import msgspec

    chosen = weights or exp.backbone.weights
    if chosen is None:
        raise CpdError(f"experiments.{name} has no backbone.weights", hint="give --weights FILE")
    backbone = msgspec.structs.replace(exp.backbone, weights=chosen)
    return msgspec.structs.replace(exp, backbone=backbone)

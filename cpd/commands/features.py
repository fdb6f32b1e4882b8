"""Examples:
  cpd features --run cpd-r34 --source kinetics --split train val
  cpd features --run cpd-r34 --source kinetics --split train --gpus 8
  cpd features --run cpd-r34@1 --source ucf101 --split all --configfile config.yaml config.demo.yaml

Several splits share one loading of the model; each gets its own file, R/features/RUN/SOURCE-SPLIT.safetensors. With
--gpus the videos are shared among as many processes; the file is the same. Stopped by SIGTERM or
SIGUSR1 it ends its part, and exits with 85 (in a Slurm job: is requeued); the same command goes on, also after a kill.
A second one for the same split waits until the first has ended, and takes what that made.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.config import load_config
from cpd.engine import runlock
from cpd.engine.launch import add_gpus_argument, launched, torchrun
from cpd.engine.signals import watching
from cpd.errors import CpdError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from cpd.config import Config

HOURS = 12.0  # that a rank may wait for the slowest: one whose parts were all there waits for the others' work
SHOWN = 20  # failures


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--run", required=True, help="a finished run: EXPERIMENT or EXPERIMENT@SEED")
    parser.add_argument("--source", required=True, help="name of a source in the config")
    parser.add_argument("--split", required=True, nargs="+", help="its split(s)")
    add_gpus_argument(parser)
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Extract every split."""
    config = load_config(*args.configfile)
    if args.source not in config.sources:
        raise CpdError(f"sources has no {args.source!r}", hint=f"known: {', '.join(sorted(config.sources))}")
    with watching() as request:
        if launched(args.gpus):
            return torchrun(args.gpus, sys.argv[1:])
        _extract(config, args, runlock.checked(lambda: request.reason))
    return 0


def _extract(config: Config, args: argparse.Namespace, stop: Callable[[], str]) -> None:
    from cpd.engine import distributed, together  # torch loads here: signals are watched by now
    from cpd.evaluate import features
    from cpd.evaluate.result import model_path
    from cpd.models.checkpoint import load_embedder

    with distributed.joined(timeout_seconds=3600 * HOURS) as world:
        embedder = load_embedder(model_path(config, args.run).parent, device=world.device)
        for split in args.split:
            folder = features.parts_folder(config, args.run, source=args.source, split=split)
            with together.held(folder, stop=stop, world=world):
                path = features.extract(
                    config, args.run, source=args.source, split=split, embedder=embedder, world=world, stop=stop
                )
            if world.first:
                _tell(path)


def _tell(path: Path) -> None:
    from cpd.evaluate import features

    done = features.load(path)
    print(f"{path}: {len(done)} videos, {len(done.failed)} failed")
    for key, reason in done.failed[:SHOWN]:
        print(f"  failed {key}: {reason}")
    if len(done.failed) > SHOWN:
        print(f"  and {len(done.failed) - SHOWN} more")

"""Examples:

  cpd pretrain cpd-clean --seed 0 --configfile config.demo.yaml
  cpd pretrain cpd-r34 --gpus 8
  cpd pretrain cpd-r34 --gpus 16 --nodes 2      (in a Slurm job of two nodes)
  torchrun --standalone --nproc-per-node=2 -m cpd pretrain cpd-r34

Stopped by SIGTERM or SIGUSR1 it saves, and exits with 85 (in a Slurm job: is requeued); the same command goes on from
there. A second one for the same run folder waits until the first has ended.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cpd.cli import add_config_argument
from cpd.config import Config, load_config
from cpd.engine import runlock
from cpd.engine.launch import add_gpus_argument, add_nodes_argument, launch, launched
from cpd.engine.signals import StopRequest, watching


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `cpd pretrain`."""
    parser.add_argument("experiment", help="key of `experiments` in the config")
    parser.add_argument("--seed", type=int, default=0, help="of weights, banks, order and augmentation (default: 0)")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="run folder (default: R/pretrain/RUN)")
    parser.add_argument("--dry-run", action="store_true", help="print parameters, MACs, memory and time; train nothing")
    parser.add_argument(
        "--tflops", type=float, default=20.0, help="sustained by a GPU, for the dry run's time (default: 20)"
    )
    add_gpus_argument(parser)
    add_nodes_argument(parser)
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Train, or say what training would be."""
    config = load_config(*args.configfile)
    name = args.experiment if args.seed == 0 else f"{args.experiment}@{args.seed}"
    folder = args.output or Path(config.results) / "pretrain" / name
    if args.dry_run:
        return _describe(config, args, folder)
    with watching() as request, runlock.held(folder, stop=lambda: request.reason):
        if launched(args.gpus, args.nodes):
            return launch(args.gpus, sys.argv[1:], nodes=args.nodes)
        return _train(config, args, folder, request)


def _describe(config: Config, args: argparse.Namespace, folder: Path) -> int:
    from cpd.pretrain.estimate import describe

    told = describe(config, args.experiment, seed=args.seed, folder=folder, tflops=args.tflops, gpus=args.gpus)
    print(told)
    return 0


def _train(config: Config, args: argparse.Namespace, folder: Path, request: StopRequest) -> int:
    from cpd import pretrain  # torch loads here: signals are watched by now

    stop = runlock.checked(lambda: request.reason)
    metrics = pretrain.pretrain(config, args.experiment, seed=args.seed, folder=folder, stop=stop)
    print(f"{folder}: {metrics['epochs']} epochs, {metrics['steps']} steps, loss {metrics['loss']}")
    return 0

"""Examples:

  cpd finetune --run cpd-clean --dataset ucf101 --split 1 --configfile config.demo.yaml
  cpd finetune --run cpd-r34@1 --dataset kinetics-lowshot --split 0.1 --gpus 8

Writes R/eval/RUN/finetune/DATASET-SPLIT.json, and DATASET-SPLIT.predictions.json beside it: the best five classes of
every test item. Stopped by SIGTERM or SIGUSR1 it saves, and exits with 85; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import sys

from cpd.cli import add_config_argument
from cpd.config import Config, load_config
from cpd.engine import runlock
from cpd.engine.launch import add_gpus_argument, launched, torchrun
from cpd.engine.signals import StopRequest, watching


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `cpd finetune`."""
    parser.add_argument("--run", required=True, metavar="RUN", dest="run_name", help="EXPERIMENT or EXPERIMENT@SEED")
    parser.add_argument("--dataset", required=True, help="key of `datasets` in the config")
    parser.add_argument("--split", required=True, help='a fold ("1"), a fraction of the labels ("0.1"), or "test"')
    add_gpus_argument(parser)
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Fine-tune, test, and print the result."""
    config = load_config(*args.configfile)
    with watching() as request:
        from cpd.finetune import checkpoint_folder  # torch loads here: signals are watched by now

        folder = checkpoint_folder(config, args.run_name, args.dataset, args.split)
        with runlock.held(folder, stop=lambda: request.reason):
            if launched(args.gpus):
                return torchrun(args.gpus, sys.argv[1:])
            return _finetune(config, args, request)


def _finetune(config: Config, args: argparse.Namespace, request: StopRequest) -> int:
    from cpd.evaluate.result import parse_run
    from cpd.finetune import finetune

    _, seed = parse_run(args.run_name)
    stop = runlock.checked(lambda: request.reason)
    result = finetune(config, args.run_name, args.dataset, split=args.split, seed=seed, stop=stop)
    print(
        f"{args.dataset}-{args.split}: top1 {result.values['top1']:.1f}, top5 {result.values['top5']:.1f}, n {result.n}"
    )
    return 0

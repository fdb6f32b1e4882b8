"""What the commands of the protocols on frozen features share: arguments, and the two files they write."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.config import load_config
from cpd.evaluate.predictions import predictions_path, write_predictions
from cpd.evaluate.result import leaves, make_result, result_path, write_result

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from cpd.config import Config
    from cpd.evaluate.predictions import Measured

BOTH = ("train", "test")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --run, --dataset, --split and --configfile."""
    parser.add_argument("--run", required=True, help="a finished run: EXPERIMENT or EXPERIMENT@SEED")
    parser.add_argument("--dataset", required=True, help="name of a dataset in the config")
    parser.add_argument("--split", default="test", help='fold number, or "test" for datasets without (default: test)')
    add_config_argument(parser)


def run_protocol(
    args: argparse.Namespace,
    protocol: str,
    measure: Callable[[Config, argparse.Namespace], Measured],
    *,
    sides: tuple[str, ...] = BOTH,
) -> int:
    """Measure, write predictions and result, and say what was measured.

    Args:
        args: what `add_arguments` asked for.
        protocol: its name.
        measure: the protocol on these arguments.
        sides: whose features it reads.
    """
    from cpd.evaluate.datasets import inputs

    started = time.monotonic()
    config = load_config(*args.configfile)
    measured = measure(config, args)
    result = make_result(
        config,
        args.run,
        protocol=protocol,
        dataset=args.dataset,
        split=args.split,
        values=measured.values,
        n=len(measured),
        inputs=inputs(config, args.run, dataset=args.dataset, sides=sides),
        wall_seconds=time.monotonic() - started,
    )
    path = result_path(config, args.run, protocol=protocol, dataset=args.dataset, split=args.split)
    write_predictions(predictions_path(path), measured.predictions)
    write_result(path, result)
    shown = {key: value for key, value in leaves(measured.values).items() if "chance" not in key}
    print(f"{path} (n={result.n})\n" + "\n".join(f"  {key} {value:g}" for key, value in shown.items()))
    return 0

"""What the commands of the protocols share: their arguments, and the result they write."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.evaluate.result import leaves, make_result, result_path, write_result

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from typing import Any

    from cpd.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --run, --dataset, --split and --configfile."""
    parser.add_argument("--run", required=True, help="a finished run: EXPERIMENT or EXPERIMENT@SEED")
    parser.add_argument("--dataset", required=True, help="name of a dataset in the config")
    parser.add_argument("--split", default="test", help='fold number, or "test" for datasets without (default: test)')
    add_config_argument(parser)


def finish(
    config: Config,
    args: argparse.Namespace,
    *,
    protocol: str,
    values: Mapping[str, Any],
    n: int,
    inputs: Mapping[str, str],
    started: float,
) -> int:
    """Write the result of a command that began at `started` (`time.monotonic()`), and say what it measured."""
    result = make_result(
        config,
        args.run,
        protocol=protocol,
        dataset=args.dataset,
        split=args.split,
        values=values,
        n=n,
        inputs=inputs,
        wall_seconds=time.monotonic() - started,
    )
    path = result_path(config, args.run, protocol=protocol, dataset=args.dataset, split=args.split)
    write_result(path, result)
    shown = {key: value for key, value in leaves(values).items() if "chance" not in key}
    print(f"{path} (n={n})\n" + "\n".join(f"  {key} {value:g}" for key, value in shown.items()))
    return 0

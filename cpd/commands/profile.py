"""Examples:

  cpd profile cpd-r34                                              20 steps; R/profile/cpd-r34.json and .svg
  cpd profile cpd-r34 --configfile config.yaml config.demo.yaml --steps 40
  cpd profile cpd-r34 --stage 1 --workers 8                        the language model trains, 8 loader processes
  cpd profile cpd-r50 --trace trace.json                           and the last step for Perfetto

It trains on this machine's first GPU, or on its CPU, and keeps no weights. The last line says whether data come in
time, and what it would take.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.config import load_config
from cpd.errors import CpdError

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `cpd profile`."""
    parser.add_argument("experiment", help="key of `experiments` in the config")
    parser.add_argument("--steps", type=int, default=20, help="optimiser steps to measure (default: 20)")
    parser.add_argument("--warmup", type=int, default=2, help="steps before them (default: 2)")
    parser.add_argument("--stage", type=int, default=0, help="of the curriculum (default: 0, the first)")
    parser.add_argument("--workers", type=int, help="loader processes (default: the experiment's)")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="torch's trace of the last step")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="for NAME.json and NAME.svg (default: R/profile)")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, write the numbers and the picture, and print the table."""
    if args.steps < 1 or args.warmup < 0:
        raise CpdError(f"--steps {args.steps} --warmup {args.warmup}", hint="at least 1 step, and 0 before it")
    config = load_config(*args.configfile)
    import msgspec

    from cpd import profiling
    from cpd.fileio import write_json, write_text
    from cpd.profiling.measure import profile
    from cpd.report.steps import picture

    options = {"steps": args.steps, "warmup": args.warmup, "stage": args.stage}
    found = profile(config, args.experiment, workers=args.workers, trace=args.trace, **options)
    folder = args.output or Path(config.results) / "profile"
    verdict = profiling.verdict(found)
    write_json(folder / f"{args.experiment}.json", {**msgspec.to_builtins(found), "verdict": verdict})
    title = f"{args.experiment}: a training step on {found.device}"
    write_text(folder / f"{args.experiment}.svg", picture(title, profiling.phases(found), note=verdict))
    print(profiling.describe(found))
    print(f"{folder / args.experiment}.json, .svg")
    return 0

"""Measure, and make docs/benchmarks.md of what was measured. `make bench`.

python -m benchmarks                     every benchmark, then the page (about 20 minutes on 2 cores)
python -m benchmarks run losses clips    these alone
python -m benchmarks run --quick         all, in sizes that only show that they run
python -m benchmarks report              the page and its plots, from results/bench/*.json
python -m benchmarks list                what there is
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import torch

from benchmarks import NAMES, record, report
from benchmarks.harness import Options, cpu_seconds
from benchmarks.machine import describe
from benchmarks.record import Findings, Result

ROOT = Path(__file__).parents[1]


def run(name: str, options: Options, folder: Path) -> Path:
    """Run one benchmark and write its JSON."""
    module = importlib.import_module(f"benchmarks.{name}")
    found: list[Findings] = []
    start = time.monotonic()
    cpu = cpu_seconds(lambda: found.append(module.run(options)))
    wall = time.monotonic() - start
    result = Result(
        name=name, machine=describe(), quick=options.quick, cpu_seconds=cpu, wall_seconds=wall, found=found[0]
    )
    return record.write(result, folder)


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is asked for."""
    args = _arguments(argv)
    if args.what == "list":
        print("\n".join(NAMES))
        return
    if args.what != "report":
        _run_all(args)
    if args.what != "run":
        print(report.write(record.read(args.folder), args.docs))


def _run_all(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    unknown = sorted(set(args.names) - set(NAMES))
    if unknown:
        sys.exit(f"error: no benchmark {unknown[0]!r}. Hint: one of {', '.join(NAMES)}")
    shared = Path(os.environ.get("CPD_SHARED", ROOT / "../shared"))
    for name in args.names or NAMES:
        with tempfile.TemporaryDirectory() as work:
            options = Options(quick=args.quick, shared=shared if shared.is_dir() else None, work=Path(work))
            print(f"{name} ...", end=" ", flush=True)
            path = run(name, options, args.folder)
        print(f"{path} ({record.read(args.folder)[name].wall_seconds:.0f} s)", flush=True)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=("all", "run", "report", "list"), default="all")
    parser.add_argument("names", nargs="*", help="benchmarks to run (default: all)")
    parser.add_argument("--quick", action="store_true", help="a smoke run: the numbers mean nothing")
    parser.add_argument("--folder", type=Path, default=record.FOLDER, help="of the JSONs (default: results/bench)")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="of the page and its plots (default: docs)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

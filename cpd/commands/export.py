"""Examples:
  cpd export results/pretrain/cpd-r34 exports/cpd-r34
  cpd export results/pretrain/cpd-r34 exports/cpd-r34 --results results

The folder holds model.safetensors, config.json, the text encoder and a model card, README.md, with the numbers of the
run's result files. `cpd.load(FOLDER)` loads it anywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `cpd export`."""
    parser.add_argument("run", type=Path, help="run folder of `cpd pretrain` or `cpd import`")
    parser.add_argument("target", type=Path, help="folder to write")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="results root (default: two above the run)")
    parser.add_argument("--name", default="", help="name on the card (default: the run folder's)")


def run(args: argparse.Namespace) -> int:
    """Export and say what is there."""
    from cpd.models.export import export_run

    target = export_run(args.run, args.target, results=args.results, name=args.name)
    for path in sorted(path for path in target.rglob("*") if path.is_file()):
        print(f"{path}: {path.stat().st_size} bytes")
    return 0

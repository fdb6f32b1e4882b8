"""Examples:
  cpd report --output results/report.html
  cpd report --output results/demo/report.html --configfile config.yaml config.demo.yaml

Reads what is there and names what is missing; open the page in any browser, offline.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.config import load_config

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--output", type=Path, help="the page (default: R/report.html)")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    from cpd.fileio import write_text
    from cpd.report.page import render

    config = load_config(*args.configfile)
    path = args.output or Path(config.results) / "report.html"
    page = render(config)
    write_text(path, page)
    print(f"{path}: {len(page.encode()) / 1024:.0f} KB")
    return 0

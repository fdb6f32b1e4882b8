"""Examples:
  cpd report --output results/report.html
  cpd report --output results/demo/report.html --configfile config.yaml config.demo.yaml
  cpd report --figures results/figures        the page, and each of its figures as SVG

Reads what is there and names what is missing; open the page in any browser, offline.
`report.run` and `report.control` in the config choose the runs that it looks into (docs/report.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.config import load_config

if TYPE_CHECKING:
    import argparse

    from cpd.report.drawing import Drawing


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--output", type=Path, help="the page (default: R/report.html)")
    parser.add_argument("--figures", type=Path, help="folder for the figures, as SVG (default: none is written)")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Write the page, and the figures where they are asked for."""
    from cpd.fileio import write_text
    from cpd.report.content import gather
    from cpd.report.figures import draw
    from cpd.report.page import render

    config = load_config(*args.configfile)
    path = args.output or Path(config.results) / "report.html"
    content = gather(config)
    figures = draw(content)
    page = render(content, figures)
    if args.figures:
        _write_figures(args.figures, figures)
    write_text(path, page)
    print(f"{path}: {len(page.encode()) / 1024:.0f} KB")
    return 0


def _write_figures(folder: Path, figures: dict[str, list[Drawing]]) -> None:
    """Each figure as a file; those of an older report that are none now are removed."""
    from cpd.fileio import write_text

    drawings = [drawing for group in figures.values() for drawing in group]
    names = {f"{drawing.name}.svg" for drawing in drawings}
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        if old.name not in names:
            old.unlink()
    for drawing in drawings:
        write_text(folder / f"{drawing.name}.svg", drawing.svg)

"""Examples:
  cpd table table1
  cpd table table4 table7 --configfile config.yaml config.demo.yaml
  cpd table --check --configfile config.yaml config.demo.yaml
  cpd table control --into README.md --configfile config.yaml config.demo.yaml

Builds tables from result files alone and writes R/tables/TABLE.{csv,md,tex,html,json}. `--check` writes no table: it
fails unless every cell that can be measured has a value of every seed, within its range, over as many items as lists
and shards give, from the config's settings and the weights that are there (docs/tables.md). `--into` copies a built
table, measured values alone, between the lines `<!-- table:NAME -->` and `<!-- end -->` of a Markdown file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.config import Config, load_config
from cpd.errors import CpdError

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="names of tables in the config (default: all)")
    parser.add_argument("--check", action="store_true", help="check the built results")
    parser.add_argument("--output", type=Path, metavar="FILE", help="with --check: write there what was checked")
    parser.add_argument("--into", type=Path, metavar="FILE", help="copy the built table into this Markdown file")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Write tables, or check all."""
    config = load_config(*args.configfile)
    if args.check:
        return _check(config, args.output)
    if args.into:
        if not args.tables:
            raise CpdError(f"--into {args.into}: no table is named", hint="cpd table TABLE --into FILE")
        for name in args.tables:
            _copy(config, name, args.into)
        return 0
    for name in args.tables or config.tables:
        print(_write(config, name, configfiles=[str(path) for path in args.configfile]))
    return 0


def _check(config: Config, output: Path | None) -> int:
    import msgspec

    from cpd.check.results import check
    from cpd.fileio import write_json

    found = check(config)
    if found.problems:
        listed = "\n".join(f"  {problem}" for problem in found.problems)
        raise CpdError(f"{len(found.problems)} problems:\n{listed}", hint="run snakemake", exit_code=1)
    if output is not None:
        write_json(output, msgspec.to_builtins(found))
    print(
        f"ok: {found.cells} measured cells of {found.tables} tables, from {found.results} results of {found.runs} runs"
    )
    return 0


def _copy(config: Config, name: str, page: Path) -> None:
    """Replace what stands between the table's marks, from the file that the rule `table` made."""
    import msgspec

    from cpd import fileio
    from cpd.tables import render
    from cpd.tables.cells import Cell, find_table

    find_table(config, name)
    if not page.is_file():
        raise CpdError(f"{page}: no such file", hint=f"name a Markdown file with the line <!-- table:{name} --> in it")
    source = Path(config.results) / "tables" / f"{name}.json"
    cells = msgspec.convert(fileio.read_json(source), list[Cell])
    start, end = f"<!-- table:{name} -->\n", "<!-- end -->"
    before, found, rest = page.read_text().partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise CpdError(f"{page}: no lines {start.strip()} and {end}", hint="write both where the table is to stand")
    fileio.write_text(page, f"{before}{start}{render.to_compact(cells)}{end}{after}")
    print(f"{page}: {len(cells)} cells from {source}")


def _write(config: Config, name: str, *, configfiles: list[str]) -> str:
    """Write one table in every format; returns it as Markdown."""
    import msgspec

    from cpd import fileio, tables
    from cpd.tables import render

    cells = tables.build(config, name, configfiles=configfiles)
    spec = config.tables[name]
    base = Path(config.results) / "tables"
    fileio.write_json(base / f"{name}.json", [msgspec.to_builtins(cell) for cell in cells])
    fileio.write_text(base / f"{name}.csv", render.to_csv(cells))
    for suffix, render_as in (("md", render.to_md), ("tex", render.to_tex), ("html", render.to_html)):
        fileio.write_text(base / f"{name}.{suffix}", render_as(cells, title=spec.title, note=spec.note))
    return render.to_md(cells, title=spec.title, note=spec.note)

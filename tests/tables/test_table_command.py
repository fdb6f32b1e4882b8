"""The command of a row: what bash makes of it are the row's very files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec

from cpd import tables
from cpd.config import Config, load_config
from cpd.tables.command import command

ROOT = Path(__file__).parent.parent.parent


def words(text: str) -> list[str]:
    """The words that bash hands to a program."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\n' {text}"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_every_shipped_row_s_command_names_its_files() -> None:
    config = load_config(ROOT / "config.yaml", ROOT / "config.demo.yaml", ROOT / "config.demo-seeds.yaml")
    for table in config.tables.values():
        for row in table.rows:
            paths = tables.row_inputs(config, table, row)
            made_by = command(paths, ["config.yaml", "config.demo.yaml", "over.yaml"])
            assert bool(made_by) == (row.run is not None)
            if made_by:
                *targets, option, demo, over = words(made_by.removeprefix("snakemake --cores all "))
                assert (option, demo, over) == ("--configfile", "config.demo.yaml", "over.yaml")
                assert sorted(targets) == sorted(map(str, paths))


def test_odd_names_are_quoted(config: Config) -> None:
    path = Path("a b/eval/$(touch x)/knn/{d}-1.json")
    assert words(command([path]).removeprefix("snakemake ")) == ["--cores", "all", str(path)]


def test_the_paper_s_config_needs_no_option(config: Config) -> None:
    alone = msgspec.structs.replace(config, seeds=(0,), results="results")
    row = alone.tables["table1"].rows[0]
    made_by = command(tables.row_inputs(alone, alone.tables["table1"], row), ["config.yaml"])
    assert made_by == (
        "snakemake --cores all results/eval/cpd-r34/{finetune/ucf101-1,knn/ucf101-{1,2,3},zeroshot/ucf101-1}.json"
    )

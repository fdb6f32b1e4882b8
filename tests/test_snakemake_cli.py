"""Targets behind --configfile are targets; everything else stays where it stood."""

from __future__ import annotations

import pytest

from cpd.snakemake_cli import targets_first


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--cores all --configfile a.yaml t.md", "t.md --cores all --configfile a.yaml"),
        ("--configfile a.yaml b.yml t.md u.json -n", "t.md u.json --configfile a.yaml b.yml -n"),
        ("t.md --configfile a.yaml", "t.md --configfile a.yaml"),
        ("--configfiles a.yaml all --quiet rules", "all --configfiles a.yaml --quiet rules"),
        ("--configfile odd.json t.md", "t.md --configfile odd.json"),
        ("--configfile a.yaml -- t.md", "--configfile a.yaml -- t.md"),
        ("--set-threads x=2 y=3 --configfile a.yaml", "--set-threads x=2 y=3 --configfile a.yaml"),
        ("--configfile=a.yaml t.md", "--configfile=a.yaml t.md"),
        ("--configfile", "--configfile"),
        ("", ""),
    ],
)
def test_targets_first(typed: str, meant: str) -> None:
    assert targets_first(typed.split()) == meant.split()

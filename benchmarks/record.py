"""What a benchmark leaves behind: one JSON, of which docs/benchmarks.md is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import msgspec

from cpd.fileio import read_json, write_json

FOLDER = Path("results/bench")
Side = Literal["ours", "obvious", "peer", "limit", "other"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One way of doing the work.

    Attributes:
        name: of the way.
        side: `ours`; `obvious`: as one would first write it; `peer`: another package; `limit`: what the machine allows.
        values: cost a unit of work, one of each round; empty where the way is absent.
        absent: why nothing was measured.
        columns: further numbers, by column.
    """

    name: str
    side: Side
    values: tuple[float, ...] = ()
    absent: str = ""
    columns: dict[str, float] = msgspec.field(default_factory=dict)


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Ways measured in the same rounds. `reference` is the row that ratios are to; `unit` is what `values` count."""

    title: str
    unit: str
    reference: str
    rows: tuple[Row, ...]
    note: str = ""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Something to reach, and what was measured: median, lowest and highest of the rounds.

    Attributes:
        what: is measured.
        against: what it is compared with.
        at_least: lower bound; `at_most` the upper one; exactly one is given, or none where nothing was promised.
        suffix: behind every number, as " x" or " s".
        values: one a round.
        note: what else belongs to the number.
    """

    what: str
    against: str
    values: tuple[float, ...]
    at_least: float | None = None
    at_most: float | None = None
    suffix: str = " x"
    note: str = ""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Points of a chart; `exponent` of the power law through them."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    exponent: float


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """How something grows: log-log."""

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What one benchmark has to say."""

    title: str
    about: str
    tables: tuple[Table, ...] = ()
    targets: tuple[Target, ...] = ()
    charts: tuple[Chart, ...] = ()
    notes: tuple[str, ...] = ()


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The same with where, when and how it was found."""

    name: str
    machine: dict[str, str]
    quick: bool
    cpu_seconds: float
    wall_seconds: float
    found: Findings


def write(result: Result, folder: Path = FOLDER) -> Path:
    """Write `{folder}/{name}.json`."""
    path = folder / f"{result.name}.json"
    plain: Any = json.loads(msgspec.json.encode(result))
    write_json(path, plain)
    return path


def read(folder: Path = FOLDER) -> dict[str, Result]:
    """The results of a folder, by name."""
    return {path.stem: msgspec.convert(read_json(path), Result) for path in sorted(folder.glob("*.json"))}

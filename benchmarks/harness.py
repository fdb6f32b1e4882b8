"""Side by side: every way once a round, round after round, in CPU seconds.

Other work on the machine disturbs all ways of a round alike, so ratios are taken within a round; what is told is their
median, with the lowest and the highest. The first round fills caches and is not counted.
"""

from __future__ import annotations

import math
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.record import Line, Row, Side, Table, Target


@dataclass(frozen=True, kw_only=True)
class Options:
    """What all benchmarks are told.

    Attributes:
        quick: a smoke run: sizes and rounds so small that the numbers mean nothing.
        shared: folder with `videos/` (real clips); None where there is none.
        work: folder for what is generated, removed afterwards.
    """

    quick: bool
    shared: Path | None
    work: Path

    def rounds(self, n: int) -> int:
        """How many rounds are counted: `n`, or one."""
        return 1 if self.quick else n

    def real_clips(self, names: Sequence[str]) -> list[Path]:
        """Those files of `shared/videos` that are there."""
        folder = None if self.shared is None else self.shared / "videos"
        return [] if folder is None else [folder / name for name in names if (folder / name).is_file()]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of doing some work.

    Attributes:
        name: in the table.
        side: see `record.Row`.
        run: does the work of a round; `absent` says why there is none.
        columns: further numbers of the row.
        times: how many times the work of the others a call does, where a call as short as theirs would be all start.
    """

    name: str
    side: Side
    run: Callable[[int], object] | None = None
    absent: str = ""
    columns: Mapping[str, float] = field(default_factory=dict)
    times: float = 1.0


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of all threads of this process, and of the processes that the work started and waited for."""
    start = _cpu()
    work()
    return _cpu() - start


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measure(
    title: str,
    ways: Sequence[Way],
    *,
    rounds: int,
    unit: str = "CPU ms",
    scale: float = 1000.0,
    work: float = 1.0,
    note: str = "",
    clock: Callable[[Callable[[], object]], float] = cpu_seconds,
) -> Table:
    """Measure the ways; ratios are to the first.

    Args:
        title: of the table.
        ways: what to run.
        rounds: that are counted.
        unit: what a value is: `scale` seconds a unit of work.
        scale: from seconds to `unit`.
        work: units of work in one call.
        note: below the table.
        clock: seconds of a call.
    """
    found: dict[str, list[float]] = {way.name: [] for way in ways}
    assert len(found) == len(ways), "names differ"
    for number in range(rounds + 1):
        for way in ways:
            if way.run is None:
                continue
            seconds = clock(lambda way=way, number=number: way.run(number))  # type: ignore[misc]
            if number:
                found[way.name].append(scale * seconds / (work * way.times))
    rows = tuple(
        Row(name=w.name, side=w.side, values=tuple(found[w.name]), absent=w.absent, columns=dict(w.columns))
        for w in ways
    )
    return Table(title=title, unit=unit, reference=ways[0].name, rows=rows, note=note)


def row(table: Table, name: str) -> Row:
    """The row of that name."""
    return next(r for r in table.rows if r.name == name)


def ratios(table: Table, slow: str, fast: str) -> tuple[float, ...]:
    """How many times the cost of `fast` is that of `slow`, one a round."""
    return tuple(a / b for a, b in zip(row(table, slow).values, row(table, fast).values, strict=True))


def gain(
    table: Table, *, what: str, against: str, ours: str, other: str, at_least: float | None, note: str = ""
) -> Target:
    """A target on how many times `other` costs what `ours` does."""
    values = ratios(table, other, ours) if row(table, other).values else ()
    absent = row(table, other).absent
    return Target(what=what, against=against, values=values, at_least=at_least, note=note or absent)


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def line(name: str, x: Sequence[float], y: Sequence[float]) -> Line:
    """Points, and the exponent of the power law that fits them best (least squares of the logarithms)."""
    log_x, log_y = ([math.log(max(v, 1e-9)) for v in values] for values in (x, y))
    slope, _ = statistics.linear_regression(log_x, log_y)
    return Line(name=name, x=tuple(map(float, x)), y=tuple(y), exponent=slope)

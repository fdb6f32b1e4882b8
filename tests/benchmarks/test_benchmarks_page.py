"""docs/benchmarks.md says what the JSONs say, and nothing is reached that is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import NAMES, record, report
from benchmarks.record import Chart, Findings, Line, Result, Row, Table, Target

ROOT = Path(__file__).parents[2]


def result(*, name: str = "x", quick: bool = False, targets: tuple[Target, ...] = ()) -> Result:
    rows = (
        Row(name="fast", side="ours", values=(1.0, 2.0, 3.0), columns={"KB": 5.0}),
        Row(name="slow", side="obvious", values=(10.0, 40.0, 30.0)),
        Row(name="gone", side="peer", absent="not installed"),
    )
    table = Table(title="T", unit="CPU ms", reference="fast", rows=rows, note="A note.")
    lines = (Line(name="ours", x=(1.0, 2.0), y=(3.0, 6.0), exponent=1.0),)
    found = Findings(
        title="Title",
        about="About",
        tables=(table,),
        targets=targets,
        charts=(Chart(title="C", x="n", y="s", lines=lines),),
        notes=("Last.",),
    )
    machine = {"cores": "2", "commit": "abc"}
    return Result(name=name, machine=machine, quick=quick, cpu_seconds=1.0, wall_seconds=60.0, found=found)


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    made = result(targets=(Target(what="w", against="a", values=(1.0,), at_most=2),))
    record.write(made, tmp_path)
    assert record.read(tmp_path) == {"x": made}


def test_the_page_has_medians_spread_ratios_and_plots(tmp_path: Path) -> None:
    page = report.write({"x": result()}, tmp_path).read_text()
    assert "| slow | obvious | 30 | 10 to 40 | 10 | |" in re.sub(r" +", " ", page)  # 10, 20, 10 times
    assert "| gone | peer | - | not installed |" in page
    assert "A note." in page
    for picture in re.findall(r"\]\((benchmarks/.*?\.svg)\)", page):
        assert "<svg" in (tmp_path / picture).read_text()
    assert page.count(".svg)") == 2
    assert "Smoke run" not in page
    assert "Smoke run" in report.write({"x": result(quick=True)}, tmp_path).read_text()


def test_plots_are_the_same_whenever_they_are_drawn(tmp_path: Path) -> None:
    report.write({"x": result()}, tmp_path / "a")
    report.write({"x": result()}, tmp_path / "b")
    for name in ("x-0.svg", "x-growth-0.svg"):
        assert (tmp_path / "a/benchmarks" / name).read_bytes() == (tmp_path / "b/benchmarks" / name).read_bytes()


@pytest.mark.parametrize(
    ("values", "bounds", "told"),
    [
        ((3.0, 1.0, 5.0), {"at_least": 3}, "reached"),
        ((2.9, 1.0, 5.0), {"at_least": 3}, "**missed**"),
        ((2.0,), {"at_most": 1.5}, "**missed**"),
        ((1.5,), {"at_most": 1.5}, "reached"),
        ((1.5,), {}, ""),
    ],
)
def test_reached_is_what_the_median_says(values: tuple[float, ...], bounds: dict[str, float], told: str) -> None:
    line = report._target_row(Target(what="w", against="a", values=values, **bounds))
    assert line.endswith(f"| {told} |")


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    line = report._target_row(Target(what="w", against="a", values=(), at_least=3, note="not installed"))
    assert line == "| w | a | at least 3 x | - | not installed |"


def test_nothing_to_tell_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no results"):
        report.write({}, tmp_path)


def test_every_benchmark_is_in_the_list() -> None:
    found = {
        path.stem for path in (ROOT / "benchmarks").glob("*.py") if "\ndef run(options: Options)" in path.read_text()
    }
    assert found == set(NAMES)

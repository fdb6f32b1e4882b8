"""What is told of a measurement: medians, ratios within a round, exponents, memory."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import harness, memory, peers
from benchmarks.harness import Options, Way, gain, line, measure, ratios, row


def ticking(seconds: dict[str, list[float]]) -> tuple[list[Way], list[str]]:
    """Ways that take these seconds round by round, by a clock of their own, and the order in which they ran."""
    order: list[str] = []
    ways = [Way(name=name, side="ours", run=lambda k, name=name: order.append(f"{name}{k}")) for name in seconds]
    return ways, order


def scripted(seconds: dict[str, list[float]], order: list[str]):
    def clock(work):
        work()
        return seconds[order[-1][:-1]][int(order[-1][-1])]

    return clock


def test_ways_take_turns_and_the_first_round_is_not_counted() -> None:
    seconds = {"a": [9.0, 1.0, 2.0], "b": [9.0, 3.0, 8.0]}
    ways, order = ticking(seconds)
    table = measure("t", ways, rounds=2, scale=1.0, work=2, clock=scripted(seconds, order))
    assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert row(table, "a").values == (0.5, 1.0)
    assert ratios(table, "b", "a") == (3.0, 4.0)
    assert table.reference == "a"


def test_a_way_that_does_more_is_told_a_unit_of_work() -> None:
    seconds = {"a": [9.0, 8.0], "b": [9.0, 3.0]}
    ways, order = ticking(seconds)
    table = measure("t", [replace(ways[0], times=4), ways[1]], rounds=1, scale=1.0, clock=scripted(seconds, order))
    assert row(table, "a").values == (2.0,)
    assert row(table, "b").values == (3.0,)


def test_a_way_that_is_absent_has_a_row_and_no_ratio() -> None:
    here = Way(name="a", side="ours", run=lambda k: None)
    table = measure("t", [here, Way(name="p", side="peer", absent="not installed")], rounds=1)
    assert row(table, "p").values == ()
    target = gain(table, what="w", against="p", ours="a", other="p", at_least=1)
    assert target.values == ()
    assert target.note == "not installed"


def test_time_of_children_counts_and_waiting_does_not() -> None:
    burn = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    assert harness.cpu_seconds(lambda: subprocess.run([sys.executable, "-c", burn], check=True)) >= 0.3
    assert harness.cpu_seconds(lambda: time.sleep(0.3)) < 0.2


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_law(power: float) -> None:
    x = (1, 2, 4, 8)
    assert line("l", x, [3 * n**power for n in x]).exponent == pytest.approx(power)


def test_the_peak_is_that_of_the_work() -> None:
    held = memory.peak(lambda: len(bytearray(64 << 20)))
    assert 60e6 < held < 90e6
    assert memory.peak(lambda: None) < 8e6


def test_a_peer_that_is_not_there_says_so() -> None:
    assert peers.load("no_such_package_at_all") == "not installed (`make peers`)"


def test_a_smoke_run_has_one_round(tmp_path: Path) -> None:
    assert Options(quick=True, shared=None, work=tmp_path).rounds(7) == 1
    options = Options(quick=False, shared=tmp_path, work=tmp_path)
    assert options.rounds(7) == 7
    assert options.real_clips(["none.mp4"]) == []

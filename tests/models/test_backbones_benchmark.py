import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # plain `pytest` leaves the repository's root out
from benchmarks import backbones


@pytest.mark.parametrize("depth", [10, 50])
def test_what_is_timed_is_one_network(depth):
    apart = backbones.differences(depth, width=4)
    assert set(apart) == set(backbones.FORMULATIONS)
    assert max(apart.values()) < backbones.TOLERANCE


def test_the_benchmark_runs(capsys, monkeypatch):
    sizes = ["--depth", "10", "--width", "4", "--size", "16", "--frames", "2", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", ["backbones", *sizes])
    backbones.main()
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in backbones.FORMULATIONS)

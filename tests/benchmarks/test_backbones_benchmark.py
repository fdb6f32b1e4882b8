from __future__ import annotations

import pytest

from benchmarks import backbones


@pytest.mark.parametrize("depth", [10, 50])
def test_what_is_timed_is_one_network(depth: int) -> None:
    apart = backbones.differences(depth, width=4)
    assert set(apart) == set(backbones.FORMULATIONS)
    assert max(apart.values()) < backbones.TOLERANCE


def test_the_table_of_one_case_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    backbones.main(["--depth", "10", "--width", "4", "--size", "16", "--frames", "2", "--rounds", "1"])
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in (*backbones.FORMULATIONS, backbones.LIMIT))

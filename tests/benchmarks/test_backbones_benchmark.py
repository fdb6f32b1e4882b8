from __future__ import annotations

import pytest

from benchmarks import backbones
from benchmarks.harness import row


@pytest.mark.parametrize("depth", [10, 50])
def test_what_is_timed_is_one_network(depth: int) -> None:
    apart = backbones.differences(depth, width=4)
    assert set(apart) == set(backbones.FORMULATIONS)
    assert max(apart.values()) < backbones.TOLERANCE


def test_the_table_of_one_case_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    backbones.main(["--depth", "10", "--width", "4", "--size", "16", "--frames", "2", "--rounds", "1"])
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in (*backbones.FORMULATIONS, backbones.LIMIT))


def test_the_recorded_case_has_bf16_and_says_that_a_smoke_run_does_not_compile() -> None:
    (case,) = backbones.QUICK
    table = backbones.timed(case)
    assert len(row(table, backbones.BF16).values) == 1
    assert "smoke run" in row(table, backbones.COMPILED).absent
    told = {target.what: target for target in backbones._targets(case, table)}
    assert told[f"R10 at 16, {backbones.BF16}"].values
    assert not told[f"R10 at 16, {backbones.COMPILED}"].values

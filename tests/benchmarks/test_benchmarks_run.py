"""Every benchmark runs by the command that `make bench` uses, in sizes that take seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import NAMES, __main__, growth, losses, record

QUICK = ("linear", "losses")


def ran(names: tuple[str, ...], folder: Path) -> dict[str, record.Result]:
    __main__.main(["run", *names, "--quick", "--folder", str(folder)])
    return record.read(folder)


def test_quick_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CPD_SHARED", str(tmp_path / "none"))
    found = ran(QUICK, tmp_path)
    assert set(found) == set(QUICK)
    for result in found.values():
        assert result.quick
        assert result.machine["torch"]
        ours = [row for table in result.found.tables for row in table.rows if row.side == "ours"]
        assert ours
        assert all(len(row.values) == 1 for row in ours)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in QUICK and name not in ("growth", "planning")])
def test_the_others(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CPD_SHARED", str(tmp_path / "none"))
    result = ran((name,), tmp_path)[name]
    assert result.found.targets
    __main__.main(["report", "--folder", str(tmp_path), "--docs", str(tmp_path / "docs")])
    assert result.found.title in (tmp_path / "docs/benchmarks.md").read_text()


@pytest.mark.slow
def test_growth_of_two_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = growth._stages

    def two(options: growth.Options) -> dict[str, object]:
        return {name: stage for name, stage in every(options).items() if name in ("planning", "shards")}

    monkeypatch.setattr(growth, "_stages", two)
    found = ran(("growth",), tmp_path)["growth"].found
    assert [line.name for line in found.charts[0].lines] == ["planning (ids)", "shards (samples)"]
    assert all(y > 0 for chart in found.charts for line in chart.lines for y in line.y)


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no benchmark 'speed'"):
        __main__.main(["run", "speed", "--folder", str(tmp_path)])


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    __main__.main(["list"])
    assert capsys.readouterr().out.split() == list(NAMES)


def test_losses_on_one_device(capsys: pytest.CaptureFixture[str]) -> None:
    losses.main(["--pairs", "500", "--batch", "2", "--rounds", "1"])
    assert "bf16 bank | ours |" in capsys.readouterr().out

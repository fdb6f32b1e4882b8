"""`cpd profile`: every phase of a real step is timed, and late data are told."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from cpd import cli, profiling
from cpd.errors import CpdError
from cpd.profiling import PHASES, Profile
from cpd.profiling.measure import profile
from tests.rho_cases import cases
from tests.small_corpus import open_corpus, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profile")
    write_corpus(folder)
    return folder


def made(*, data: float = 0.0, step: float = 0.1, clips: float = 64, workers: int = 2, loader: float = 640) -> Profile:
    """A profile of four steps that take `step` seconds besides waiting."""
    own = dict.fromkeys(PHASES, (0.0,) * 4) | {"forward": (step,) * 4, "data": (data,) * 4}
    return Profile(
        experiment="x", device="CPU", steps=own, clips=clips, workers=workers, cores=8, loader=loader, peak_bytes=0
    )


@pytest.mark.parametrize("name", ["cpd", "nce", "ranking", "curriculum"])
def test_every_phase_of_a_step_is_timed(corpus: Path, name: str) -> None:
    found = profile(open_corpus(corpus), name, steps=4, warmup=1)
    assert {phase: len(values) for phase, values in found.steps.items()} == dict.fromkeys(PHASES, 4)
    busy = ("data", "transfer", "forward", "loss", "backward", "optimiser")
    assert all(min(found.steps[phase]) > 0 for phase in busy)
    assert 4 <= found.clips <= 8
    assert found.loader > 0


@pytest.mark.parametrize("name", ["rho-moco", "beside-byol"])
def test_persistency_is_timed_too(corpus: Path, name: str) -> None:
    config = open_corpus(corpus)
    config = msgspec.structs.replace(config, experiments={**config.experiments, name: cases()[name]})
    found = profile(config, name, steps=2, warmup=0)
    assert all(found.seconds(phase) > 0 for phase in ("data", "forward", "backward", "optimiser", "bank"))


def test_the_second_stage_trains_the_language_model(corpus: Path) -> None:
    config = open_corpus(corpus)
    assert profile(config, "curriculum", steps=1, warmup=0, stage=1).seconds("backward") > 0
    with pytest.raises(CpdError, match="no stage 2"):
        profile(config, "curriculum", steps=1, stage=2)


def test_what_trains_nothing_has_no_step(corpus: Path) -> None:
    with pytest.raises(CpdError, match="trains nothing"):
        profile(open_corpus(corpus), "random", steps=1)


def test_the_command_writes_numbers_a_picture_and_a_trace(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace, output = corpus / "trace.json", corpus / "out"
    options = ["--steps", "2", "--warmup", "0", "--workers", "0", "--trace", str(trace), "--output", str(output)]
    assert cli.main(["profile", "cpd", "--configfile", str(corpus / "config.yaml"), *options]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n{phase} " in printed for phase in PHASES)
    kept = json.loads((output / "cpd.json").read_text())
    verdict = kept.pop("verdict")
    assert verdict in printed
    assert profiling.verdict(msgspec.convert(kept, Profile)) == verdict
    assert "<svg" in (output / "cpd.svg").read_text()
    assert any("conv" in str(event.get("name")) for event in json.loads(trace.read_text())["traceEvents"])


def test_no_steps_are_refused(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["profile", "cpd", "--configfile", str(corpus / "config.yaml"), "--steps", "0"]) != 0
    assert "at least 1 step" in capsys.readouterr().err


def test_a_loader_that_keeps_up_is_left_alone() -> None:
    told = profiling.verdict(made(data=0.001))
    assert told.startswith("data come in time: 1% ")
    assert "640.0 clips/s, the loader alone gives 640.0 (2 workers)" in told


def test_late_data_say_how_many_workers_would_do() -> None:
    told = profiling.verdict(made(data=0.1, step=0.1, loader=200))  # 640 clips/s wanted, 100 a worker
    assert told.startswith("data are late: 50% ")
    assert told.endswith("train.workers: 7 would do")


def test_more_workers_than_cores_point_to_the_store() -> None:
    told = profiling.verdict(made(data=0.5, step=0.1, loader=20))
    assert "64 would do, more than the 8 cores here; clips.short_side: 176" in told


def test_waiting_is_a_share_of_all_steps() -> None:
    assert made(data=0.3, step=0.1).waiting == pytest.approx(0.75)
    assert made(data=0.3, step=0.1).compute == pytest.approx(0.1)

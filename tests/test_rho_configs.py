"""The shipped experiments of temporal persistency are the study's, and the demo's fit the demo."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import msgspec
import pytest
import yaml

from cpd.config import Config, Linear, evaluation, experiment, load_config
from cpd.engine.states import run_states
from cpd.paper import PUBLISHED

ROOT = Path(__file__).parent.parent
FULL = load_config(ROOT / "config.yaml")
DEMO = load_config(*(ROOT / name for name in ("config.yaml", "config.demo.yaml", "config.demo-rho.yaml")))


@pytest.mark.parametrize("method", ["moco", "simclr", "byol", "swav"])
@pytest.mark.parametrize("clips", [1, 2, 4])
def test_the_studys_settings(method: str, clips: int) -> None:
    """PAPER section 5: 200 epochs, batch 512, cosine, 35 epochs of warm-up; lr .4 of SGD or 4.8 of LARS."""
    exp = experiment(FULL, f"rho-{method}-{clips}")
    train, views, rho = exp.train, exp.views, exp.objective.rho
    assert rho is not None
    assert (exp.objective.name, rho.method, rho.clips, rho.tau, rho.queue) == ("persistency", method, clips, 0.1, 65536)
    assert (rho.prototypes, rho.epsilon, rho.iterations, rho.freeze_epochs) == (1000, 0.05, 3, 1)
    assert (train.batch, train.schedule, train.warmup_epochs, exp.stages[0].epochs) == (512, "cosine", 35, 200)
    kind = ("sgd", 0.4, 1e-4, False) if method == "moco" else ("lars", 4.8, 1e-6, True)
    assert (train.optimizer, exp.stages[0].lr, train.weight_decay, train.sync_bn) == kind
    assert (exp.backbone.depth, views.frames, views.stride, views.size, views.short_side) == (50, 8, 8, 224, (256, 320))
    assert (views.jitter_p, views.gray_p, views.blur_p, views.flip) == (0.8, 0.2, 0.5, True)
    assert train.per_rank * max(clips, 2) <= 128  # what 80 GB hold
    linear = evaluation(FULL, f"rho-{method}-{clips}").linear
    assert (linear.epochs, linear.optimizer, linear.schedule) == (60, "sgd", "cosine")


def test_the_probe_is_that_of_the_studys_public_configuration() -> None:
    """Its linear_k400_Slow_8x8_R50_syn0.yaml, on 8 GPUs; docs/protocols.md shows the same as an overlay."""
    study = Linear(
        optimizer="sgd", momentum=0.9, weight_decay=0.0, schedule="cosine", epochs=60, warmup_epochs=8, lr=0.5, batch=64
    )
    probed = {name: evaluation(FULL, name).linear for name in FULL.run if name.startswith("rho-")}
    assert probed
    assert {name for name, linear in probed.items() if linear != study} == set()
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "protocols.md").read_text(), re.S)
    shown = [textwrap.dedent(block) for block in blocks if "linear:" in block]
    assert [msgspec.convert(yaml.safe_load(block)["evaluate"]["linear"], Linear) for block in shown] == [study]


def test_every_published_row_is_in_the_table_and_is_run() -> None:
    rows = {row.name: row.run for row in FULL.tables["rho"].rows}
    assert PUBLISHED["rho"].keys() <= rows.keys()
    assert set(rows.values()) <= set(FULL.run)
    assert {column.name for column in FULL.tables["rho"].columns} >= {"Kinetics-400 linear", "UCF101 split 1"}
    assert {"supervised-r50", "cpd-r50", "cpd-r50-rho", "random-r50"} <= set(rows.values())


def test_the_note_names_the_views_and_the_recipes_of_every_row() -> None:
    """What differs between rows of a column beside the pretraining."""
    note = FULL.tables["rho"].note
    runs = {row.name: evaluation(FULL, row.run) for row in FULL.tables["rho"].rows if row.run}
    seen = {name: (ours.features, ours.finetune) for name, ours in runs.items()}
    studys = [name for name in seen if "rho=" in name and "16x4" not in name and "Cross-pair" not in name]
    for name, (features, tuned) in seen.items():
        long = "16x4" in name
        assert (features.frames, features.stride) == ((8, 8) if name in studys else (16 if long else 8, 4)), name
        views = (8, 8) if name in studys else (16, 4)
        assert views == (tuned.views.frames, tuned.views.stride) == (tuned.test.frames, tuned.test.stride), name
        assert (tuned.patience, tuned.lr) == (5, 1e-4), name
        probe = ("sgd", 60) if name in studys or long else ("adam", 30)
        assert (runs[name].linear.optimizer, runs[name].linear.epochs) == probe, name
    for said in (
        "8 frames at stride 8 in the study's rows, 16 at stride 4 in BYOL rho=4 16x4, 8 at stride 4 in the others",
        "60 epochs of SGD; the others: 30 of Adam",
        "Adam at 0.0001, divided by 10 twice when validation saturates",
        "8 frames at stride 8 in the study's rows, but 16 at stride 4 in BYOL rho=4 16x4 and the others",
    ):
        assert said in note


def test_cross_pair_with_persistency_differs_from_cross_pair_in_that_alone() -> None:
    alone, both = experiment(FULL, "cpd-r50"), experiment(FULL, "cpd-r50-rho")
    assert both.objective.rho is not None
    assert (both.objective.name, both.objective.tau) == (alone.objective.name, alone.objective.tau)
    assert (both.views, both.train, both.stages) == (alone.views, alone.train, alone.stages)


def demo_rows(config: Config) -> list[str]:
    return [row.run for row in config.tables["rho"].rows if row.run and experiment(config, row.run).objective.rho]


def test_the_demo_runs_the_demos_own_rows_and_every_row_of_this_table() -> None:
    """`cpd status --runs` lists what `run` names; nothing else of what is built goes by it."""
    plain = load_config(ROOT / "config.yaml", ROOT / "config.demo.yaml")
    assert DEMO.run[: len(plain.run)] == plain.run
    assert set(DEMO.run[len(plain.run) :]) == set(demo_rows(DEMO))
    assert {state.run for state in run_states(DEMO)} >= {row.run for row in DEMO.tables["rho"].rows}


def test_the_demo_is_small_and_sees_as_many_clips_as_its_other_rows() -> None:
    names = demo_rows(DEMO)
    assert len(names) == 6
    clips = [stage.epochs for stage in experiment(DEMO, "cpd-r34-stage1").stages]
    for name in names:
        exp = experiment(DEMO, name)
        rho = exp.objective.rho
        assert rho is not None
        assert (exp.backbone.depth, exp.backbone.width, exp.views.size, exp.gpus) == (10, 16, 48, 0)
        assert rho.views * exp.stages[0].epochs == sum(clips)
        assert rho.method != "moco" or rho.queue <= rho.views * 480 // 4
        assert not exp.train.sync_bn
        assert evaluation(DEMO, name).linear == evaluation(DEMO, "cpd-r34-stage1").linear
        assert evaluation(DEMO, name).features == evaluation(DEMO, "cpd-r34-stage1").features

"""Numbers that would crash a job hours later, or train something else, are refused when the config is read."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from cpd import config as c
from cpd.cli import main
from cpd.config.base import Strict
from cpd.config.load import Config
from cpd.config.reference import _reachable
from cpd.errors import ConfigError

ROOT = Path(__file__).parent.parent.parent
STAGE = {"epochs": 2, "lr": 0.1}
RHO = {"method": "moco"}


def nested(path: str, value: Any) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}


def load(tmp_path: Path, over: dict[str, Any]) -> c.Config:
    path = tmp_path / "over.yaml"
    path.write_text(json.dumps(over))
    return c.load_config(ROOT / "config.yaml", path)


EXPERIMENT = [
    ("backbone.width", 0, "width must be at least 1"),
    ("heads.dim", 0, "dim must be at least 2"),
    ("heads.dim", 1, "dim must be at least 2"),
    ("heads.hidden", 0, "hidden must be at least 1"),
    ("objective", {"name": "self_instance", "estimator": "nce"}, "estimator must be exact"),
    ("objective.noise", 0, "noise must be at least 1"),
    ("objective.delta", -0.1, "delta must be at least 0"),
    ("objective.tau", 0, "tau must be positive"),
    ("objective.rho", RHO | {"dim": 0}, "dim must be at least 2, or null"),
    ("objective.rho", RHO | {"hidden": 0}, "hidden must be at least 1, or null"),
    ("objective.rho", RHO | {"queue": 0}, "queue must be at least 1"),
    ("objective.rho", RHO | {"prototypes": 1}, "prototypes must be at least 2"),
    ("stages", [STAGE | {"lr": 0}], "lr must be positive"),
    ("stages", [STAGE | {"lr_text": -1}], "lr_text must be positive, or null"),
    ("stages", [STAGE | {"lr_text": 0}], "lr_text must be positive, or null"),
    ("stages", [STAGE, STAGE | {"patience": 0}], "patience must be at least 1, or null - at `$.stages[1]`"),
    ("views.frames", 0, "frames must be at least 1"),
    ("views.stride", 0, "stride must be at least 1"),
    ("views.size", 0, "size must be at least 1"),
    ("views.jitter", 1.5, "jitter must be in [0, 1]"),
    ("views.scales", [], "scales must not be empty"),
    ("views.scales", [1.0, 1.2], "scales must be above 0 and at most 1"),
    ("train.batch", 1, "batch must be at least 2"),
    ("train.per_rank", 0, "per_rank must be at least 1"),
    ("train.momentum", 1.5, "momentum must be in [0, 1)"),
    ("train.momentum", 1, "momentum must be in [0, 1)"),
    ("train.weight_decay", -1, "weight_decay must be at least 0"),
    ("train.warmup_epochs", -1, "warmup_epochs must be at least 0"),
    ("train.clip_grad", 0, "clip_grad must be positive, or null"),
    ("train.clip_grad", -1, "clip_grad must be positive, or null"),
    ("train.workers", -1, "workers must be 0 or more, or null"),
    ("train.checkpoint_minutes", -1, "checkpoint_minutes must be at least 0"),
    ("train.validate_every", 0, "validate_every must be at least 1"),
    ("train", {"schedule": "step", "milestones": [0, 5]}, "milestones must rise from 1 or more, unlike [0, 5]"),
    ("train", {"schedule": "step", "milestones": [5, 5]}, "milestones must rise from 1 or more, unlike [5, 5]"),
    ("validation.n", 0, "n must be at least 1 - at `$.validation`"),
    ("gpus", -1, "gpus must be at least 0"),
    ("evaluate.features.crops", 2, "crops must be 1 (centre) or 3"),
    ("evaluate.knn.k", 0, "k must be at least 1"),
]
ELSEWHERE = [
    ("seeds", [-1], "seeds must be from 0"),
    ("seeds", [1 << 32], "seeds must be from 0"),
    ("seeds", [], "seeds must not be empty"),
    ("seeds", [3, 3], "seeds hold one twice"),
    ("crawl.rate_limit", 0, "rate_limit must be more than 0, or null"),
    ("encoders.mine", {"path": "x", "max_tokens": 2}, "max_tokens must be at least 3 for kind: transformers"),
    ("encoders.mine", {"path": "x", "kind": "skip_thoughts", "max_tokens": 1}, "max_tokens must be at least 2"),
    ("datasets.mine", {"source": "ucf101", "train": "all", "test": "all", "folds": [0]}, "folds must rise from 1"),
    ("datasets.mine", {"source": "ucf101", "train": "a", "test": "b", "fractions": [1.5]}, "fractions must be above 0"),
    ("datasets.mine", {"source": "ucf101", "train": "a", "test": "b", "fractions": [0.1, 0.1]}, "fractions hold one"),
    ("evaluate.features.clips", 0, "clips must be at least 1 - at `$.evaluate.features`"),
    ("evaluate.features.frames", 0, "frames must be at least 1"),
    ("evaluate.knn.k", 0, "k must be at least 1"),
    ("evaluate.knn.tau", 0, "tau must be positive"),
    ("evaluate.linear.epochs", 0, "epochs must be at least 1"),
    ("evaluate.linear.batch", 1, "batch must be at least 2"),
    ("evaluate.linear.step", 0, "step must be at least 1"),
    ("evaluate.linear.lr", 0, "lr must be positive"),
    ("evaluate.linear.momentum", 1.0, "momentum must be in [0, 1)"),
    ("evaluate.finetune.epochs", 0, "epochs must be at least 1"),
    ("evaluate.finetune.batch", 1, "batch must be at least 2"),
    ("evaluate.finetune.lr", -0.1, "lr must be positive"),
    ("evaluate.finetune.milestones", [45, 30], "milestones must rise from 1 or more, unlike [45, 30]"),
    ("evaluate.finetune.workers", -1, "workers must be 0 or more, or null"),
    ("evaluate.retrieval.n", 0, "n must be at least 1 - at `$.evaluate.retrieval`"),
]


@pytest.mark.parametrize(("path", "value", "wanted"), EXPERIMENT)
def test_an_experiment_s_number_out_of_range_is_named(tmp_path: Path, path: str, value: Any, wanted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {"experiments": {"mine": nested(path, value)}})
    assert "experiments.mine" in caught.value.message
    assert wanted in caught.value.message


@pytest.mark.parametrize(("path", "value", "wanted"), ELSEWHERE)
def test_a_number_out_of_range_is_named(tmp_path: Path, path: str, value: Any, wanted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, nested(path, value))
    assert wanted in caught.value.message


def test_the_ends_of_the_ranges_are_within(tmp_path: Path) -> None:
    train: dict[str, Any] = {
        "batch": 2,
        "per_rank": 1,
        "momentum": 0,
        "weight_decay": 0,
        "clip_grad": 0.001,
        "workers": 0,
    }
    train |= {"checkpoint_minutes": 0, "validate_every": 1, "schedule": "step", "milestones": [1, 2]}
    mine = {
        "backbone": {"width": 1},
        "heads": {"dim": 2, "hidden": 1},
        "objective": {"noise": 1, "delta": 0, "momentum": 0},
        "stages": [STAGE | {"lr_text": 0.001, "patience": 1, "warmup_epochs": 0}],
        "views": {"frames": 1, "stride": 1, "size": 1, "scales": [1.0], "jitter": 1},
        "train": train,
        "validation": {"n": 1},
        "gpus": 0,
    }
    config = load(tmp_path, {"experiments": {"mine": mine}, "seeds": [0, (1 << 32) - 1]})
    assert c.experiment(config, "mine").train.milestones == (1, 2)


def test_the_check_before_a_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "over.yaml").write_text("defaults: {train: {clip_grad: -1}}\n")
    assert main(["config", "--check", "--configfile", str(ROOT / "config.yaml"), str(tmp_path / "over.yaml")]) == 2
    assert "clip_grad must be positive, or null" in capsys.readouterr().err


# What a type cannot be made without.
NEEDS: dict[str, dict[str, Any]] = {
    "Source": {"kind": "folder", "lists": {"a": "x"}, "pairs": {"a": 1}},
    "Dataset": {"source": "s", "train": "a", "test": "b"},
    "Encoder": {"path": "x"},
    "Rho": RHO,
    "Stage": STAGE,
    "Config": {
        "results": "r", "data": "d", "sources": {}, "datasets": {}, "encoders": {}, "experiments": {}, "run": [],
        "tables": {},
    },
    "Experiment": {"stages": [STAGE]},
}  # fmt: skip
ANY_NUMBER = {"Text.english_margin"}


def bad_value(annotation: Any) -> Any:
    """A number far below every range, in the shape that a key has; None where the key holds no number."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation in (int, float):
        return -(10**9)
    if origin in (Union, types.UnionType):
        return next((bad for part in parts if (bad := bad_value(part)) is not None), None)
    if origin is tuple:
        bad = bad_value(parts[0])
        return None if bad is None else [bad] * (1 if parts[-1] is Ellipsis else len(parts))
    bad = bad_value(parts[1]) if origin is dict else None
    return None if bad is None else {"a": bad}


NUMBERS = [
    pytest.param(kind, key, bad, id=f"{kind.__name__}.{key}")
    for kind in _reachable(Config, c.Experiment)
    for key, annotation in get_type_hints(kind).items()
    if (bad := bad_value(annotation)) is not None and f"{kind.__name__}.{key}" not in ANY_NUMBER
]


def test_there_are_numbers_to_look_at() -> None:
    assert len(NUMBERS) > 90


@pytest.mark.parametrize(("kind", "key", "bad"), NUMBERS)
def test_every_number_of_the_config_has_a_range(kind: type[Strict], key: str, bad: Any) -> None:
    """A key that is added without a range is told here."""
    needs = NEEDS.get(kind.__name__, {})
    msgspec.convert(needs, kind)
    with pytest.raises(msgspec.ValidationError, match=rf"^{key} "):
        msgspec.convert({**needs, key: bad}, kind)

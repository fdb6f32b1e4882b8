"""Fine-tuning end to end, and its defect tests: fc before sharing (4 b), exact views by key (4 c)."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cpd import config as cpd_config
from cpd.cli import main
from cpd.engine import optim
from cpd.engine.checkpoint import Checkpoints
from cpd.engine.distributed import World
from cpd.engine.signals import Requeue
from cpd.errors import CpdError
from cpd.evaluate.predictions import Classified, predictions_path, read_predictions
from cpd.evaluate.result import read_result
from cpd.finetune import _prepare, finetune, ranking
from cpd.finetune import views as finetune_views
from cpd.finetune.data import balanced_subset, hold_out, open_split, split_names
from cpd.finetune.views import merged, predict
from cpd.pretrain import pretrain
from cpd.shards.loader import ViewBatch
from cpd.video import sample, transforms
from cpd.video.decode import decode_frames
from tests.small_corpus import open_corpus, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    pretrain(open_corpus(folder), "random", seed=0, folder=folder / "results" / "pretrain" / "random")
    return folder


@pytest.fixture
def config(corpus: Path) -> cpd_config.Config:
    return open_corpus(corpus)


def result_file(config: cpd_config.Config, name: str) -> Path:
    return Path(config.results) / "eval" / "random" / "finetune" / f"{name}.json"


@pytest.mark.parametrize(("dataset", "split", "n"), [("acts", "1", 16), ("few", "0.5", 10), ("whole", "test", 10)])
def test_result_of_each_kind_of_split(config: cpd_config.Config, dataset: str, split: str, n: int) -> None:
    result = finetune(config, "random", dataset, split=split)
    assert read_result(result_file(config, f"{dataset}-{split}")) == result
    assert (result.protocol, result.n, result.split, result.world_size) == ("finetune", n, split, 1)
    assert result.views == {"clips": 2, "crops": 3, "frames": 4, "stride": 2, "size": 24}
    assert 0 <= result.values["top1"] <= result.values["top5"] <= 100
    told = read_predictions(predictions_path(result_file(config, f"{dataset}-{split}")))
    assert isinstance(told, Classified)
    right = sum(best[0] == label for best, label in zip(told.top5["all"], told.labels, strict=True))
    assert (len(told.keys), 100 * right / n) == (n, pytest.approx(result.values["top1"]))
    keys = {meta["key"]: meta["label"] for meta in open_split(config, dataset, split=split, seed=0).table.meta}
    assert [told.classes[i] for i in told.labels] == [keys[key] for key in told.keys]
    assert ("motion" in result.values) == (dataset == "acts")
    assert not (Path(config.results) / "eval" / "random" / "finetune" / "checkpoints").exists()


def test_stopped_and_resumed_gives_the_same_numbers(config: cpd_config.Config) -> None:
    path = result_file(config, "acts-1")
    whole = finetune(config, "random", "acts", split="1").values
    path.unlink()
    asked = iter(range(1, 100))
    with pytest.raises(Requeue, match="after step 3"):
        finetune(config, "random", "acts", split="1", stop=lambda: "SIGTERM" if next(asked) >= 3 else "")
    assert not path.exists()
    assert finetune(config, "random", "acts", split="1").values == whole
    before = path.stat().st_mtime_ns
    finetune(config, "random", "acts", split="1")
    assert path.stat().st_mtime_ns == before
    predictions_path(path).unlink()
    finetune(config, "random", "acts", split="1")
    assert predictions_path(path).exists(), "half of the outputs is not a finished run"


def test_it_learns_what_it_is_shown(config: cpd_config.Config) -> None:
    """Colours are told apart after some epochs on them: tested on its own training videos."""
    tuned = msgspec.structs.replace(config.evaluate.finetune, epochs=12, lr=0.01, milestones=(8,))
    evaluate = msgspec.structs.replace(config.evaluate, finetune=tuned)
    shown = msgspec.structs.replace(config.datasets["whole"], test="train")
    config = msgspec.structs.replace(config, evaluate=evaluate, datasets={**config.datasets, "shown": shown})
    values = finetune(config, "random", "shown", split="test").values
    assert values["top1"] >= 2 * values["chance"]["top1"]


def test_folds_keep_train_and_test_apart(config: cpd_config.Config) -> None:
    data = open_split(config, "acts", split="1", seed=0)
    assert len(data.train) == len(data.test) == 16
    assert not set(data.train) & set(data.test)
    assert all(data.table.meta[i]["folds"]["1"] == "train" for i in data.train)
    assert len(data.classes) == 8


def test_splits_of_two_parts_take_each_its_own(config: cpd_config.Config) -> None:
    data = open_split(config, "whole", split="test", seed=0)
    assert {data.table.meta[i]["split"] for i in data.train} == {"train"}
    assert {data.table.meta[i]["split"] for i in data.test} == {"val"}


@pytest.mark.parametrize(("dataset", "split"), [("acts", "2"), ("acts", "test"), ("few", "0.1"), ("none", "1")])
def test_unknown_names_are_told(config: cpd_config.Config, dataset: str, split: str) -> None:
    with pytest.raises(CpdError, match=r"has no"):
        open_split(config, dataset, split=split, seed=0)


def test_split_names(config: cpd_config.Config) -> None:
    assert [split_names(config.datasets[name]) for name in ("acts", "few", "whole")] == [["1"], ["0.5"], ["test"]]


@given(
    labels=st.lists(st.sampled_from("abcde"), min_size=1, max_size=80),
    fraction=st.floats(0.01, 1.0),
    seed=st.integers(0, 9),
)
def test_balanced_subset(labels: list[str], fraction: float, seed: int) -> None:
    instances = list(range(3, 3 + len(labels)))
    named = ["?"] * 3 + labels
    chosen = balanced_subset(instances, named, fraction=fraction, seed=seed)
    assert chosen == sorted(set(chosen)) == balanced_subset(instances, named, fraction=fraction, seed=seed)
    whole, part = Counter(labels), Counter(named[i] for i in chosen)
    assert part == {label: max(1, round(fraction * n)) for label, n in whole.items()}


@given(labels=st.lists(st.sampled_from("abc"), min_size=1, max_size=60), share=st.floats(0.01, 0.99))
def test_hold_out_takes_a_share_of_each_class_and_never_all(labels: list[str], share: float) -> None:
    instances = list(range(3, 3 + len(labels)))
    named = ["?"] * 3 + labels
    rest, held = hold_out(instances, named, share=share, seed=4)
    assert sorted(rest + held) == instances
    assert (rest, held) == (sorted(rest), sorted(held)) == hold_out(instances, named, share=share, seed=4)
    whole, part = Counter(labels), Counter(named[i] for i in held)
    assert {c: part[c] for c in whole} == {c: min(round(share * n), n - 1) for c, n in whole.items()}


def with_patience(config: cpd_config.Config, **settings: object) -> cpd_config.Config:
    tuned = msgspec.structs.replace(config.evaluate.finetune, milestones=(), holdout=0.5, **settings)
    return msgspec.structs.replace(config, evaluate=msgspec.structs.replace(config.evaluate, finetune=tuned))


def test_patience_lowers_lr_twice_and_then_ends(config: cpd_config.Config, tmp_path: Path) -> None:
    """An lr of nothing cannot get better: one epoch sets the mark, one loses patience, at each of three rates."""
    config = with_patience(config, patience=1, epochs=20, lr=1e-12)
    data = open_split(config, "acts", split="1", seed=0, holdout=0.5)
    assert (len(data.train), len(data.held)) == (8, 8)
    assert not set(data.held) & {*data.train, *data.test}
    tuning = _prepare(config, "random", data, seed=0, world=World())
    progress = tuning.train(tmp_path, Checkpoints(tmp_path / "steps", 2, identity={}), stop=lambda: "")
    assert [row["stage"] for row in progress.history] == [0, 0, 1, 1, 2, 2]
    assert all(row["validation"]["n"] == 8 for row in progress.history)
    steps = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    rates = dict.fromkeys(row["lr"] for row in steps if row["event"] == "step")
    assert list(rates) == pytest.approx([1e-12, 1e-13, 1e-14])


@pytest.mark.slow
def test_patience_end_to_end_and_resumed(config: cpd_config.Config) -> None:
    config = with_patience(config, patience=1, epochs=2)
    whole = finetune(config, "random", "acts", split="1")
    assert whole.n == 16, "what is held out is not tested"
    result_file(config, "acts-1").unlink()
    asked = iter(range(1, 100))
    with pytest.raises(Requeue):
        finetune(config, "random", "acts", split="1", stop=lambda: "SIGTERM" if next(asked) >= 2 else "")
    assert finetune(config, "random", "acts", split="1").values == whole.values


def test_too_little_to_hold_out_is_told(config: cpd_config.Config) -> None:
    with pytest.raises(CpdError, match="not one video to validate on"):
        open_split(config, "acts", split="1", seed=0, holdout=0.1)


def test_patience_and_milestones_exclude_one_another(corpus: Path) -> None:
    (corpus / "both.yaml").write_text("evaluate: {finetune: {patience: 3}}")
    with pytest.raises(CpdError, match="instead of milestones"):
        cpd_config.load_config(corpus / "config.yaml", corpus / "both.yaml")


def view_by_view(config: cpd_config.Config, model: torch.nn.Module, views: cpd_config.FeatureViews) -> dict:
    """Mean probabilities by key, one view at a time, cut out of the decoded film by themselves."""
    table = open_split(config, "whole", split="test", seed=0).table
    means = {}
    for i, key in enumerate(table.keys):
        film = decode_frames(table.video(i), range(table.meta[i]["frames"]))
        probabilities = []
        for indices in sample.test_indices(len(film), views.clips, views.frames, views.stride):
            crops = np.empty((3, len(indices), views.size, views.size, 3), np.uint8)
            transforms.crop([film[t] for t in indices], views.size, crops)
            for crop in crops:
                clip_BTHWC = torch.from_numpy(crop)[None]
                probabilities.append(model(finetune_views.to_model(clip_BTHWC)).softmax(1)[0])
        assert len(probabilities) == views.clips * 3
        means[key] = sum(probabilities) / len(probabilities)
    return means


def test_aggregation_agrees_with_every_view_by_itself(config: cpd_config.Config) -> None:
    """On real videos: whatever is decoded together, cut into passes and merged by key."""
    data = open_split(config, "whole", split="test", seed=0)
    tuning = _prepare(config, "random", data, seed=0, world=World())
    views = cpd_config.FeatureViews(clips=3, crops=3, frames=4, stride=2, size=24)
    order = [*data.test[::-1], *data.train[:2]]
    found, failed = predict(
        tuning.model, data.table, order, views=views, precision=tuning.precision, per_pass=4, workers=0, world=World()
    )
    assert (failed, list(found)) == ({}, [data.table.keys[i] for i in order])
    with torch.no_grad():
        wanted = view_by_view(config, tuning.model.eval(), views)
    for key, mean_K in found.items():
        torch.testing.assert_close(mean_K, wanted[key], rtol=1e-4, atol=1e-5)


class Table:
    keys = ("k0", "k1", "k2")


class Brightness(torch.nn.Module):
    """Logits of a clip are its mean, times (1, 2)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((1, 2, 3, 4))[:, None] * torch.tensor([1.0, 2.0])


def batches(counts: dict[str, int], failed: tuple[str, ...] = ()) -> list[ViewBatch]:
    made = []
    for i, (key, n) in enumerate(counts.items()):
        clips = torch.randint(0, 255, (n, 2, 4, 4, 3), generator=torch.Generator().manual_seed(i), dtype=torch.uint8)
        made.append(ViewBatch(clips, i, key, []))
    return made + [ViewBatch(torch.empty(0, 2, 4, 4, 3), 9, key, [(key, "torn")]) for key in failed]


def run_predict(monkeypatch: pytest.MonkeyPatch, made: list[ViewBatch]):
    monkeypatch.setattr(finetune_views, "view_loader", lambda *a, **k: iter(made))
    views = cpd_config.FeatureViews(clips=2, crops=3, frames=2, stride=1, size=4)
    precision = optim.Precision("fp32", torch.device("cpu"))
    return predict(
        Brightness(), Table(), [0, 1, 2], views=views, precision=precision, per_pass=4, workers=0, world=World()
    )


def test_mean_softmax_over_every_view(monkeypatch: pytest.MonkeyPatch) -> None:
    made = batches({"k0": 6, "k1": 6}, failed=("k2",))
    predictions, failed = run_predict(monkeypatch, made)
    assert failed == {"k2": "torn"}
    for batch in made[:2]:
        by_hand = [Brightness()(finetune_views.to_model(clip[None])).softmax(1)[0] for clip in batch.clips_VTHWC]
        torch.testing.assert_close(predictions[batch.key], torch.stack(by_hand).mean(0))


def test_defect_c_lost_views_and_lost_videos_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CpdError, match="k1: 4 views, not 2 x 3"):
        run_predict(monkeypatch, batches({"k0": 6, "k1": 4, "k2": 6}))
    with pytest.raises(CpdError, match="1 test videos were not seen, first k2"):
        run_predict(monkeypatch, batches({"k0": 6, "k1": 6}))
    with pytest.raises(CpdError, match="k0: tested twice"):
        run_predict(monkeypatch, [*batches({"k0": 6, "k1": 6}), *batches({"k0": 6})])
    with pytest.raises(CpdError, match="1 videos were tested twice, first k0"):
        merged([{"k0": 1}, {"k0": 2}])


def test_ranking_orders_classes_by_probability() -> None:
    probabilities = [torch.tensor([0.1, 0.7, 0.2]), torch.tensor([0.4, 0.2, 0.4])]
    assert ranking(probabilities, ["a", "b", "c"]) == [["b", "c", "a"], ["a", "c", "b"]]
    assert len(ranking([torch.rand(9)], list("abcdefghi"))[0]) == 5


def test_command(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--run", "random", "--dataset", "whole", "--configfile", str(corpus / "config.yaml")]
    assert main(["finetune", *arguments, "--split", "test"]) == 0
    assert "whole-test: top1" in capsys.readouterr().out
    assert main(["finetune", *arguments, "--split", "7"]) == 2


@pytest.mark.slow
def test_defects_b_and_c_two_ranks_hold_one_fc_and_test_every_video_once(corpus: Path) -> None:
    import subprocess

    root, path = Path(__file__).parent.parent, result_file(open_corpus(corpus), "acts-1")
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "cpd", "finetune", "--run", "random", "--dataset", "acts", "--split", "1"]
    done = subprocess.run(
        [*command, "--gpus", "2", "--configfile", str(corpus / "config.yaml")], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(path.read_text())
    assert (result["world_size"], result["n"]) == (2, 16)

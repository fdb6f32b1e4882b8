"""Temporal persistency end to end on real shards: four methods, alone and beside titles."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import torch
import yaml
from safetensors.torch import load_file

import cpd
from cpd.cli import main
from cpd.config import Config, experiment
from cpd.engine.distributed import World
from cpd.engine.lars import Lars
from cpd.engine.signals import Requeue
from cpd.errors import CpdError
from cpd.finetune import finetune
from cpd.models.checkpoint import load_video
from cpd.objectives.pair import CrossPairExact
from cpd.pretrain import beside_titles, persistency, pretrain
from cpd.pretrain.run import prepare as prepare_pairs
from tests.rho_cases import METHODS, cases, objective
from tests.small_corpus import SETTINGS, open_corpus, write_corpus

NAMES = list(cases())
QUICK = ("rho-moco", "rho-swav", "beside-moco")


def named(names: list[str], *, quick: tuple[str, ...] = QUICK) -> list:
    """The names, the rest of them for the slow tier."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


@pytest.fixture
def config(corpus: Path) -> Config:
    opened = open_corpus(corpus)
    return msgspec.structs.replace(opened, experiments={**opened.experiments, **cases()})


def with_case(config: Config, **case: object) -> Config:
    return msgspec.structs.replace(config, experiments={**config.experiments, "case": case})


def prepare(config: Config, name: str) -> persistency.Persistency:
    exp = experiment(config, name)
    make = persistency.prepare if exp.objective.name == "persistency" else beside_titles.prepare
    return make(config, exp, seed=0, world=World())


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def after(steps: int):
    asked = iter(range(1, 1000))
    return lambda: "SIGTERM" if next(asked) >= steps else ""


@pytest.mark.parametrize("name", named(NAMES))
def test_stopped_and_resumed_is_bit_equal(config: Config, tmp_path: Path, name: str) -> None:
    """Queue, momentum encoder, prototypes and counters go with the checkpoint; the queue is filled once."""
    metrics = pretrain(config, name, seed=0, folder=tmp_path / "whole")
    assert (metrics["epochs"], metrics["steps"], metrics["clips"]) == (2, 6, 40)
    told = "" if name.startswith("beside") else "clip_"
    assert {f"{told}{value}" for value in ("r1", "r5", "r10", "median_rank")} <= metrics["validation"][-1].keys()
    with pytest.raises(Requeue):
        pretrain(config, name, seed=0, folder=tmp_path / "parts", stop=after(1 + NAMES.index(name) % 5))
    torch.rand(5)
    pretrain(config, name, seed=0, folder=tmp_path / "parts")
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    told = [json.loads((tmp_path / part / "metrics.json").read_text()) for part in ("whole", "parts")]
    assert told[0]["history"] == told[1]["history"]
    assert told[0]["validation"] == told[1]["validation"]


def test_killed_between_checkpoints_and_resumed_is_bit_equal(config: Config, tmp_path: Path) -> None:
    """Dead at step 5, the newest checkpoint is of step 3: queue, draws and momentum encoder go back with the rest."""

    def death() -> str:
        if next(asked) == 5:
            raise KeyboardInterrupt
        return ""

    pretrain(config, "rho-moco", seed=0, folder=tmp_path / "whole")
    asked = iter(range(1, 100))
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, "rho-moco", seed=0, folder=tmp_path / "parts", stop=death)
    pretrain(config, "rho-moco", seed=0, folder=tmp_path / "parts")
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


@pytest.mark.parametrize("method", named(list(METHODS), quick=("byol",)))
def test_half_precision_costs_about_the_same_and_trains(config: Config, tmp_path: Path, method: str) -> None:
    """Networks compute in bf16, losses in fp32; with averaged weights."""
    over = {"train": {"precision": "bf16", "ema": 0.5}, "stages": [{"epochs": 1, "lr": 0.05}]}
    half = with_case(config, objective=objective(method), **over)
    losses = []
    for own, name in ((half, "case"), (config, f"rho-{method}")):
        run = prepare(own, name)
        run.enter_stage(0)
        result = run.step(next(next(run.clips(0, 0))))
        assert result.parts["loss"].dtype == torch.float32
        losses.append(float(result.parts["loss"].detach()))
    assert losses[0] == pytest.approx(losses[1], abs=0.1)
    pretrain(half, "case", seed=0, folder=tmp_path)
    assert all(value.isfinite().all() for value in weights(tmp_path).values())


def result_of(config: Config, name: str, protocol: str) -> dict:
    return json.loads((Path(config.results) / "eval" / name / protocol / "whole-test.json").read_text())


@pytest.mark.parametrize("name", named(["rho-moco", "beside-byol"]))
def test_the_run_folder_goes_through_the_protocols(
    config: Config, corpus: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Features, every protocol, export, and the network in Python."""
    folder = Path(config.results) / "pretrain" / name
    pretrain(config, name, seed=0, folder=folder)
    over = corpus / "cases.yaml"
    over.write_text(yaml.safe_dump({"experiments": cases()}))
    files = ["--configfile", str(corpus / "config.yaml"), str(over)]
    for split in ("train", "val"):
        assert main(["features", "--run", name, "--source", "pairs", "--split", split, *files]) == 0
    for protocol in ("knn", "linear"):
        assert main([protocol, "--run", name, "--dataset", "whole", "--split", "test", *files]) == 0
        assert 0 <= result_of(config, name, protocol)["values"]["res5"]["top1"] <= 100
    assert 0 <= finetune(config, name, "whole", split="test").values["top1"] <= 100
    for protocol in ("zeroshot", "retrieval"):  # without titles they mean nothing, and are measured like any other's
        assert main([protocol, "--run", name, "--dataset", "whole", "--split", "test", *files]) == 0
        assert result_of(config, name, protocol)["n"] == 10
    assert 0 <= result_of(config, name, "zeroshot")["values"]["all"]["top1"] <= 100
    ranks = result_of(config, name, "retrieval")["values"]
    assert all(0 <= ranks[side]["r1"] <= ranks[side]["r10"] == 100 for side in ("t2v", "v2t"))
    assert main(["export", str(folder), str(corpus / f"export-{name}")]) == 0
    card = (corpus / f"export-{name}" / "README.md").read_text()
    assert "persistency (moco, rho 2)" in card if name == "rho-moco" else "and persistency (byol, rho 2)" in card
    emb_BD, res5_BF = cpd.load(folder).embed_clips(torch.zeros(2, 4, 24, 24, 3, dtype=torch.uint8))
    assert emb_BD.shape == (2, 16)
    assert res5_BF.isfinite().all()
    assert load_video(folder)[1].objective.rho is not None
    capsys.readouterr()


@pytest.mark.parametrize("method", named(list(METHODS), quick=("simclr",)))
def test_only_the_video_tower_learns(config: Config, tmp_path: Path, method: str) -> None:
    pretrain(config, f"rho-{method}", seed=0, folder=tmp_path)
    start = prepare_pairs(config, experiment(config, "cpd"), seed=0, world=World()).model.state_dict()
    end = weights(tmp_path)
    moved = {name.partition(".")[0] for name in end if not torch.equal(end[name], start[name])}
    assert moved == {"video"}


@pytest.mark.slow
def test_agreement_rises_and_the_loss_falls(config: Config, tmp_path: Path) -> None:
    over = {"stages": [{"epochs": 10, "lr": 0.1}], "train": {"validate_every": 10}}
    longer = with_case(config, objective=objective("simclr", tau=0.2), **over)
    metrics = pretrain(longer, "case", seed=0, folder=tmp_path)
    losses = [row["loss"] for row in metrics["history"]]
    assert losses[-1] < 0.9 * losses[0]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    agree = [row["agree"] for row in rows if row["event"] == "step"]
    assert agree[0] < agree[-1] <= 1
    assert metrics["validation"][0]["n"] == 8


def test_the_queue_is_filled_before_the_first_update(config: Config) -> None:
    """From clips that no epoch shows, with the momentum encoder as it begins; a resumed run does not fill it again."""
    run = prepare(config, "rho-moco")
    queue, random = run.method.queue, torch.get_rng_state()
    start = {name: value.clone() for name, value in run.method.keys.named_parameters()}
    run.enter_stage(0)
    assert queue.full
    torch.testing.assert_close(queue.rows_QD.norm(dim=1), torch.ones(12))
    assert run.method.done == 0
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(value, start[name]) for name, value in run.method.keys.named_parameters())
    filled = queue.rows_QD.clone()
    run.enter_stage(0)
    assert torch.equal(queue.rows_QD, filled)
    again = prepare(config, "rho-moco")
    again.enter_stage(0)
    assert torch.equal(again.method.queue.rows_QD, filled)


def test_keys_of_every_clip_enter_the_queue_after_the_step(config: Config) -> None:
    run = prepare(config, "rho-moco")
    run.enter_stage(0)
    before = run.method.queue.pushed
    (micro, *_) = next(run.clips(0, 0))
    result = run.step(micro)
    assert run.method.queue.pushed == before
    run.update([result])
    assert run.method.queue.pushed == before + 2 * result.count
    assert run.method.done == 1


def test_a_queue_longer_than_an_epoch_is_refused(config: Config) -> None:
    big = with_case(config, objective=objective("moco", queue=41))
    with pytest.raises(CpdError, match="queue is 41, but an epoch has only 40 keys"):
        prepare(big, "case")


def test_what_has_no_meaning_is_refused(config: Config) -> None:
    for over in ({"stages": [{"epochs": 1, "lr": 0.1, "lr_text": 0.1}]}, {"shuffle_titles": True}):
        with pytest.raises(CpdError, match="has no text"):
            prepare(with_case(config, objective=objective("byol"), **over), "case")


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ({"name": "persistency"}, "rho is needed by name: persistency"),
        ({"name": "supervised", "rho": {"method": "moco"}}, "rho has no part in name: supervised"),
        ({"rho": {"method": "simclr", "momentum": 0.9}}, "momentum belongs to moco and byol"),
        ({"rho": {"method": "moco", "clips": 0}}, "clips must be at least 1"),
        ({"rho": {"method": "moko"}}, "moko"),
    ],
)
def test_bad_settings_are_named(config: Config, over: dict, told: str) -> None:
    with pytest.raises(CpdError, match=told):
        experiment(with_case(config, objective=over), "case")


def test_lars_is_used_where_asked_for_and_spares_the_momentum_encoder(config: Config) -> None:
    run = prepare(config, "rho-byol")
    names = {id(p): name for name, p in run.trained.named_parameters()}
    trained = {names[id(p)] for p in run.groups()["rest"]}
    assert not [name for name in trained if "keys." in name]
    assert {"method.predict.1.0.weight", "model.video.stem.0.weight"} <= trained
    from cpd.engine import optim

    built = optim.build(experiment(config, "rho-simclr").train.optimizer, run.groups(), weight_decay=1e-6)
    assert isinstance(built, Lars)


def test_beside_titles_each_clip_meets_the_title(config: Config) -> None:
    """The loss on titles is the mean over the clips; the bank moves towards the clips' mean."""
    run = prepare(config, "beside-moco")
    assert isinstance(run, beside_titles.BesideTitles)
    run.enter_stage(0)
    (micro, *_) = next(run.clips(0, 0))
    feature_VBF = run.features(micro.clip_BTHWC)
    v_VBD = torch.stack([run.model.video_head(feature) for feature in feature_VBF])
    t_BD = run.model.embed_text(run.titles(micro.index_B))
    single = [run.pairs(v_BD, t_BD, micro.index_B)["loss"] for v_BD in v_VBD]
    found = run.method(feature_VBF, micro.clip_BTHWC)
    parts, rows = run.compare(found, feature_VBF, micro.index_B)
    torch.testing.assert_close(parts["loss"], sum(single) / 2 + found.parts["loss"])
    torch.testing.assert_close(rows[1], torch.nn.functional.normalize(v_VBD.mean(0), dim=1))
    assert isinstance(run.pairs, CrossPairExact)
    before = run.pairs.banks.video.rows_ND.clone()
    run.update([run.step(micro)])
    changed = (run.pairs.banks.video.rows_ND != before).any(dim=1).nonzero().flatten()
    assert sorted(changed.tolist()) == sorted(micro.index_B.tolist())


def test_dry_run_counts_every_pass(corpus: Path, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    over = corpus / "cases.yaml"
    over.write_text(yaml.safe_dump({"experiments": cases()}))
    files = ["--configfile", str(corpus / "config.yaml"), str(over)]
    assert main(["pretrain", "rho-moco", "--dry-run", *files]) == 0
    told = capsys.readouterr().out
    assert "a video is 2 clips: 2 forward and backward, 2 forward by the momentum encoder" in told
    assert "queue: 12 keys of 8" in told
    assert f" steps an epoch of {SETTINGS['train']['batch']} videos, at most" in told
    assert main(["pretrain", "rho-three", "--dry-run", *files]) == 0
    assert "a video is 3 clips: 3 forward and backward\n" in capsys.readouterr().out
    assert main(["pretrain", "cpd", "--dry-run", *files]) == 0
    assert f" steps an epoch of {SETTINGS['train']['batch']} clips, at most" in capsys.readouterr().out


def test_a_gpu_is_needed_for_shared_batch_norm_of_several_ranks(config: Config) -> None:
    synced = with_case(config, objective=objective("byol"), train={**SETTINGS["train"], "sync_bn": True})
    with pytest.raises(CpdError, match="sync_bn needs GPUs"):
        persistency.prepare(synced, experiment(synced, "case"), seed=0, world=World(size=2))
    assert isinstance(prepare(synced, "case"), persistency.Persistency)

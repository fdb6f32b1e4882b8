"""Fine-tuning on a labelled set (paper, section 4.3): the video tower of a run and a new fully connected layer.

Shapes: N test videos, K classes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import torch

from cpd.config import Config, Experiment, FeatureViews, Finetune
from cpd.digest import code_digest
from cpd.engine import distributed, optim, together
from cpd.engine.checkpoint import Checkpoints
from cpd.engine.clips import ClipEpochs
from cpd.engine.distributed import World
from cpd.engine.task import Score
from cpd.errors import CpdError
from cpd.evaluate.datasets import factors_of
from cpd.evaluate.factors import percent
from cpd.evaluate.predictions import TOP, Measured, predictions_path, scored, write_predictions
from cpd.evaluate.result import (
    Result,
    config_digest,
    hash_inputs,
    make_result,
    model_path,
    read_result,
    result_path,
    settings_of,
    write_result,
)
from cpd.finetune.data import Labelled, open_split
from cpd.finetune.run import Classifier, Finetuning
from cpd.finetune.views import Predictions, predict
from cpd.models.checkpoint import load_video
from cpd.shards.loader import worker_count

CODE = "cpd.finetune"


def finetune(
    config: Config, run: str, dataset: str, *, split: str, seed: int = 0, stop: Callable[[], str] = lambda: ""
) -> Result:
    """Train all of the video tower with a new fc on one split, test it, and write the result.

    Resumes from checkpoints in `R/eval/{run}/finetune/checkpoints/{dataset}-{split}/`, removed at success.

    Args:
        config: the whole config; `evaluate.finetune` (and the experiment's own `evaluate`) holds the settings.
        run: a finished pretraining run.
        dataset: key of `datasets`.
        split: a fold, a fraction of the labels, or "test" for a dataset with neither.
        seed: of fc, order, augmentation, the choice of a fraction and of what is held out.
        stop: asked once a step, and before each test video, for a reason to save and stop, "" for none.

    Returns:
        The result: top1, top5, chance, the factors' shares, and `failed`, the test videos that could not be read and
        are not among the n.

    Raises:
        Requeue: `stop` gave a reason; checkpoints are saved. Stopped in its test, it only tests when it runs again.
        Lost: another process took the lock; nothing was written (`engine.runlock`).
        CpdError: run, shards or split are missing, or a fault that `engine.loop.fit` tells of.
    """
    started = time.monotonic()
    with distributed.joined() as world:
        settings = settings_of(config, run).finetune
        holdout = 0.0 if settings.patience is None else settings.holdout
        data = open_split(config, dataset, split=split, seed=seed, holdout=holdout)
        tuning = _prepare(config, run, data, seed=seed, world=world)
        identity = _identity(config, run, dataset, split=split, seed=seed, data=data, world=world)
        path = result_path(config, run, protocol="finetune", dataset=dataset, split=split)
        finished = _finished(path, identity)
        if finished is not None:
            return finished
        folder = checkpoint_folder(config, run, dataset, split)
        checkpoints = Checkpoints(folder / "steps", 2, identity=identity)
        progress = tuning.train(folder, checkpoints, stop=stop)
        measured = _test(config, dataset, data, tuning, stop=stop)
        result = make_result(
            config,
            run,
            protocol="finetune",
            dataset=dataset,
            split=split,
            values=measured.values,
            n=len(measured),
            inputs=identity["inputs"],
            wall_seconds=max(progress.seconds, time.monotonic() - started),
            code=[CODE],
            world_size=world.size,
        )
        together.check_lock(world)
        if world.first:
            write_predictions(predictions_path(path), measured.predictions)
            write_result(path, result)
            _remove(folder, checkpoints)
        distributed.barrier(world)
        return result


def _prepare(config: Config, run: str, data: Labelled, *, seed: int, world: World) -> Finetuning:
    """The classifier with its fc, made before anything is shared between ranks (PAPER section 4 b)."""
    settings = settings_of(config, run).finetune
    video, exp = load_video(model_path(config, run).parent)
    torch.manual_seed(seed)
    model = Classifier(video, video.feature_dim, len(data.classes)).to(world.device)
    torch.manual_seed((seed << 16) + world.rank)
    clips = ClipEpochs(
        table=data.table,
        instances=data.train,
        views=settings.views,
        batch=settings.batch,
        per_rank=exp.train.per_rank,
        seed=seed,
        workers=_workers(settings, exp, data, world),
        world=world,
    )
    tuning = Finetuning(
        settings=settings,
        model=model,
        clips=clips,
        targets_N=torch.tensor(data.targets()),
        precision=optim.Precision(exp.train.precision, world.device),
        world=world,
        options=exp.train,
    )
    return replace(tuning, validate=lambda: _validate(data, tuning)) if data.held else tuning


def _validate(data: Labelled, tuning: Finetuning) -> Score:
    """Top-1 of the held-out videos from their centre view, and how many of them could not be read."""
    predictions, failed = _predict(
        data, data.held, tuning, views=msgspec.structs.replace(tuning.settings.test, clips=1, crops=1)
    )
    tuning.model.train()
    if not predictions:
        raise CpdError(f"none of {len(data.held)} held-out videos could be read: {next(iter(failed.values()))}")
    tested = [i for i in data.held if data.table.keys[i] in predictions]
    ranked = ranking([predictions[data.table.keys[i]] for i in tested], data.classes)
    top1 = percent(best[0] == data.labels[i] for best, i in zip(ranked, tested, strict=True))
    return Score(value=top1, values={"top1": top1, "n": float(len(tested)), "failed": float(len(failed))})


def _workers(settings: Finetune, exp: Experiment, data: Labelled, world: World) -> int:
    """Shards are read at random, so that a small set in few shards may feed many workers."""
    asked = exp.train.workers if settings.workers is None else settings.workers
    return worker_count(asked, shards=len(data.train), world=world.size)


def _test(config: Config, dataset: str, data: Labelled, tuning: Finetuning, *, stop: Callable[[], str]) -> Measured:
    """Scores and predictions of the test videos that could be read, and how many could not."""
    predictions, failed = _predict(data, data.test, tuning, views=tuning.settings.test, stop=stop)
    if not predictions:
        raise CpdError(f"{dataset}: none of {len(data.test)} test videos could be read: {next(iter(failed.values()))}")
    tested = [i for i in data.test if data.table.keys[i] in predictions]
    found = scored(
        {"all": ranking([predictions[data.table.keys[i]] for i in tested], data.classes)},
        [data.labels[i] for i in tested],
        [data.table.keys[i] for i in tested],
        classes=data.classes,
        factors=factors_of(config, dataset),
    )
    return Measured({**found.values["all"], "failed": len(failed)}, found.predictions)


def _predict(
    data: Labelled,
    instances: Sequence[int],
    tuning: Finetuning,
    *,
    views: FeatureViews,
    stop: Callable[[], str] = lambda: "",
) -> tuple[Predictions, dict[str, str]]:
    return predict(
        tuning.model,
        data.table,
        instances,
        views=views,
        precision=tuning.precision,
        per_pass=tuning.clips.per_rank,
        workers=tuning.clips.workers,
        world=tuning.world,
        stop=stop,
    )


def ranking(probabilities: Sequence[torch.Tensor], classes: Sequence[str]) -> list[list[str]]:
    """Of each video's probabilities (K,) the (at most five) best classes, best first; of equals the first stands."""
    order_NK = torch.stack(list(probabilities)).sort(dim=1, descending=True, stable=True).indices
    return [[classes[k] for k in row] for row in order_NK[:, :TOP].tolist()]


def _identity(
    config: Config, run: str, dataset: str, *, split: str, seed: int, data: Labelled, world: World
) -> dict[str, Any]:
    """What must not change between runs that resume one another."""
    index = Path(config.results) / "sources" / config.datasets[dataset].source / "shards" / "index.json"
    identity = {
        "settings": msgspec.to_builtins(settings_of(config, run).finetune),
        "config": config_digest(config, run, protocol="finetune", dataset=dataset),
        "split": split,
        "seed": seed,
        "inputs": hash_inputs(model_path(config, run), index),
        "train": len(data.train),
        "held": len(data.held),
        "world_size": world.size,
        "code": code_digest(CODE),
    }
    plain: dict[str, Any] = json.loads(json.dumps(identity))
    return plain


def _finished(path: Path, identity: dict[str, Any]) -> Result | None:
    """The result of the same settings, inputs and code, when it is there already."""
    if not (path.exists() and predictions_path(path).exists()):
        return None
    result = read_result(path)
    found = (result.config_digest, result.code_digest, result.inputs)
    return result if found == (identity["config"], identity["code"], identity["inputs"]) else None


def checkpoint_folder(config: Config, run: str, dataset: str, split: str) -> Path:
    """Where a fine-tuning keeps what it needs to go on; one process at a time writes there (`cpd.engine.runlock`)."""
    return Path(config.results) / "eval" / run / "finetune" / "checkpoints" / f"{dataset}-{split}"


def _remove(folder: Path, checkpoints: Checkpoints) -> None:
    """The checkpoints, their log, and the folders that this empties."""
    checkpoints.clear()
    (folder / "metrics.jsonl").unlink(missing_ok=True)
    for empty in (folder, folder.parent):
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()

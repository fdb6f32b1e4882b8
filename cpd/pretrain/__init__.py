"""Pretraining: an experiment's config becomes objects, and the engine trains them (paper, sections 3 and 4.2)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from cpd.config import Config, Experiment, experiment
from cpd.digest import code_digest
from cpd.engine import distributed, together
from cpd.engine.checkpoint import Checkpoints
from cpd.engine.distributed import World
from cpd.engine.progress import Progress
from cpd.fileio import read_json, write_json
from cpd.models.checkpoint import save_run
from cpd.pretrain import beside_titles, persistency, supervised
from cpd.pretrain.build import build_model
from cpd.pretrain.run import Pretraining, prepare

OUTPUTS = ("model.safetensors", "config.json", "metrics.json")
MAY_CHANGE = ("workers", "checkpoint_minutes", "keep_checkpoints", "log")  # between runs that resume one another


def pretrain(
    config: Config, name: str, *, seed: int, folder: str | Path, stop: Callable[[], str] = lambda: ""
) -> dict[str, Any]:
    """Train the experiment `name` and write its run folder; resumes from checkpoints, and does nothing when complete.

    An experiment with objective `none` needs no shards: its initial weights are saved at once.

    Args:
        config: the whole config.
        name: key of `experiments`.
        seed: of initial weights, banks, order and augmentation.
        folder: the run folder; gets model.safetensors, config.json and metrics.json, the last one last.
        stop: asked once a step for a reason to save and stop, "" for none.

    Returns:
        What metrics.json holds.

    Raises:
        Requeue: `stop` gave a reason; checkpoints are saved.
        Lost: another process took the run folder's lock; nothing was written (`engine.runlock`).
        CpdError: no usable pairs, shards or encoder missing, or a fault that `engine.loop.fit` tells of.
    """
    exp = experiment(config, name)
    folder = Path(folder)
    with distributed.joined() as world:
        if exp.objective.name == "none":
            return _save_initial(config, name, exp, seed=seed, folder=folder, world=world)
        run = preparation(exp)(config, exp, seed=seed, world=world)
        identity = _identity(config, name, exp, seed=seed, run=run)
        finished = _finished(folder, identity)
        if finished is not None:
            return finished
        checkpoints = Checkpoints(folder / "checkpoints", exp.train.keep_checkpoints, identity=identity)
        progress = run.train(folder, checkpoints, stop=stop)
        metrics = {**_summary(progress, run), "identity": identity}
        together.check_lock(world)
        if world.first:
            save_run(folder, run.model, exp, config.encoders[exp.encoder])
            write_json(folder / "metrics.json", metrics)
            checkpoints.clear()
        distributed.barrier(world)
        return metrics


def preparation(exp: Experiment) -> Callable[..., Pretraining]:
    """What builds a run of this experiment."""
    if exp.objective.name == "supervised":
        return supervised.prepare
    if exp.objective.name == "persistency":
        return persistency.prepare
    return prepare if exp.objective.rho is None else beside_titles.prepare


def _save_initial(
    config: Config, name: str, exp: Experiment, *, seed: int, folder: Path, world: World
) -> dict[str, Any]:
    identity = _settings(config, name, exp, seed=seed)
    finished = _finished(folder, identity)
    if finished is not None:
        return finished
    model = build_model(config, exp, seed=seed, world=world)
    metrics = {**_tally(Progress(), world), "instances": 0, "identity": identity}
    together.check_lock(world)
    if world.first:
        save_run(folder, model, exp, config.encoders[exp.encoder])
        write_json(folder / "metrics.json", metrics)
    distributed.barrier(world)
    return metrics


def _finished(folder: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """metrics.json of the same run, when all outputs are there."""
    if not all((folder / name).exists() for name in OUTPUTS):
        return None
    metrics: dict[str, Any] = read_json(folder / "metrics.json")
    return metrics if metrics.get("identity") == identity else None


def _settings(config: Config, name: str, exp: Experiment, *, seed: int) -> dict[str, Any]:
    """What the weights depend on besides data, in JSON types."""
    settings = msgspec.to_builtins(exp)
    del settings["gpus"]
    for key in MAY_CHANGE:
        del settings["train"][key]
    encoder = msgspec.to_builtins(config.encoders[exp.encoder])
    code = code_digest("cpd.pretrain")
    identity = {"experiment": name, "seed": seed, "settings": settings, "encoder": encoder, "code": code}
    plain: dict[str, Any] = json.loads(json.dumps(identity))
    return plain


def _identity(config: Config, name: str, exp: Experiment, *, seed: int, run: Pretraining) -> dict[str, Any]:
    """What must not change between runs that resume one another: banks are addressed by instance."""
    pairs = zip(run.clips.table.keys, run.titles.titles, strict=True)
    digest = hashlib.sha256("\n".join(f"{key}\t{title}" for key, title in pairs).encode()).hexdigest()
    data = {"instances": len(run.titles), "pairs_sha256": digest, "world_size": run.world.size}
    return {**_settings(config, name, exp, seed=seed), **data}


def _tally(progress: Progress, world: World) -> dict[str, Any]:
    last = progress.history[-1] if progress.history else {}
    return {
        "epochs": progress.epoch,
        "steps": progress.step,
        "clips": progress.clips,
        "clips_per_second": progress.clips / progress.seconds if progress.seconds else 0.0,
        "wall_seconds": progress.seconds,
        "loss": last.get("loss"),
        "history": [{key: row[key] for key in ("epoch", "stage", "step", "loss")} for row in progress.history],
        "validation": [
            {"epoch": row["epoch"], "stage": row["stage"], **row["validation"]}
            for row in progress.history
            if "validation" in row
        ],
        "skipped_steps": progress.skipped,
        "failed": progress.failed,
        "world_size": world.size,
    }


def _summary(progress: Progress, run: Pretraining) -> dict[str, Any]:
    return {**_tally(progress, run.world), "instances": len(run.titles)}

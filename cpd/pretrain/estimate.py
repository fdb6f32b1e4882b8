"""What training an experiment would take, before any GPU is booked: `cpd pretrain --dry-run`.

Counts come from running the video tower on the meta device, which computes shapes alone. Shapes: B micro-batch.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cpd.config import Config, Experiment, Rho, Views, experiment
from cpd.engine.distributed import World
from cpd.engine.log import rows_of
from cpd.engine.trackers import open_trackers
from cpd.models.two_tower import TwoTower
from cpd.objectives.bank import bank_bytes
from cpd.objectives.banks import DTYPES
from cpd.objectives.rho.method import Steps
from cpd.pretrain.build import build_model, open_table
from cpd.pretrain.methods import STUDY, build_method
from cpd.pretrain.run import SPLIT

BANKED = ("cross_pair", "self_instance")
PASSES = 3  # a backward pass costs twice the forward pass


def describe(config: Config, name: str, *, seed: int, folder: Path, tflops: float, gpus: int | None = None) -> str:
    """Sizes, steps, memory and time of training `name`, as lines of text.

    Args:
        config: the whole config.
        name: key of `experiments`.
        seed: of the initial weights.
        folder: the run folder: a run that began there tells the real speed, of its number of ranks.
        tflops: assumed of each GPU where it does not, sustained, in 10^12 operations a second.
        gpus: ranks; None takes the experiment's.

    Raises:
        CpdError: shards or encoder are missing, or a package that `train.log` wants; the log there is damaged.
    """
    exp = experiment(config, name)
    model = build_model(config, exp, seed=seed, world=World())
    if exp.objective.name == "none":
        return f"{_parameters(model)}\nno training: the initial weights are saved"
    open_trackers(exp.train.log, folder)
    results = Path(config.results)
    n = len(open_table(results, [(source, SPLIT) for source in exp.sources]))
    held_out = len(open_table(results, [(exp.validation.source, exp.validation.split)]))
    ranks = max(exp.gpus if gpus is None else gpus, 1)
    steps = steps_of(n, batch=exp.train.batch, ranks=ranks)
    epochs = sum(stage.epochs for stage in exp.stages)
    rho = exp.objective.rho
    cost = measure(model.video, exp.views, clips=_micro_batch(exp, ranks) * (1 if rho is None else rho.views))
    lines = [
        _parameters(model),
        f"video tower: {cost.macs / 1e9:.2f} GMAC a clip of {exp.views.frames} x {exp.views.size} x {exp.views.size}",
        *_persistency(rho),
        f"{n} pairs, {min(held_out, exp.validation.n)} held out",
        f"{steps} steps an epoch of {exp.train.batch} {'clips' if rho is None else 'videos'}, "
        f"at most {epochs} epochs, {steps * epochs} steps",
        *_memory(exp, model, cost, n=n, ranks=ranks),
        _time(exp, cost, n=n, ranks=ranks, epochs=epochs, folder=folder, tflops=tflops),
    ]
    return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of a network.

    Attributes:
        macs: multiply-adds of one clip's forward pass.
        activations: bytes that the forward pass of a micro-batch keeps for the backward pass, in fp32.
        clips: of that micro-batch.
    """

    macs: int
    activations: int
    clips: int


def measure(video: nn.Module, views: Views, *, clips: int) -> Cost:
    """Count on the meta device: nothing is computed and no map is held.

    Args:
        video: (B, 3, T, H, W) to (B, F).
        views: of training.
        clips: B, at least 2.
    """
    network = copy.deepcopy(video).to("meta").train()
    shape = (3, views.frames, views.size, views.size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(2, *shape, device="meta"))
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = network(torch.empty(clips, *shape, device="meta"))
    weights = sum(p.untyped_storage().nbytes() for p in network.parameters() if p.untyped_storage()._cdata in kept)
    assert out.shape[0] == clips
    return Cost(macs=counter.get_total_flops() // 4, activations=sum(kept.values()) - weights, clips=clips)


def steps_of(n: int, *, batch: int, ranks: int) -> int:
    """As many as `shards.loader.epoch_batches` makes, without making them: a last one too small joins its neighbour."""
    steps, last = -(-n // batch), n % batch or batch
    return steps - (steps > 1 and last < 2 * ranks)


def _micro_batch(exp: Experiment, ranks: int) -> int:
    return max(2, min(exp.train.per_rank, exp.train.batch // ranks))


def passes_of(exp: Experiment) -> int:
    """Forward passes of one clip that a video costs in an epoch, a backward pass counted as two."""
    rho = exp.objective.rho
    return PASSES if rho is None else rho.views * (PASSES + rho.has_momentum)


def _persistency(rho: Rho | None) -> list[str]:
    if rho is None:
        return []
    second = f", {rho.views} forward by the momentum encoder" if rho.has_momentum else ""
    return [f"a video is {rho.views} clips: {rho.views} forward and backward{second}"]


def _method(rho: Rho, model: TwoTower) -> tuple[int, int, list[str]]:
    """Bytes of a method's weights (with gradients and momentum where they are trained) and of its queue; lines."""
    queue = rho.queue if rho.method == "moco" else 0
    small = msgspec.structs.replace(rho, queue=1)
    method = build_method(small, model.video, steps=Steps(total=1, epoch=1), seed=0, device=torch.device("cpu"))
    weights = sum(4 * p.numel() * (3 if p.requires_grad else 1) for p in method.parameters())
    dim = rho.dim or STUDY[rho.method].dim
    held = 4 * queue * dim
    lines = [f"  projection heads{', momentum encoder' if rho.has_momentum else ''}: {_size(weights)}"]
    return weights, held, lines + ([f"  queue: {queue} keys of {dim}, {_size(held)}"] if queue else [])


def _memory(exp: Experiment, model: TwoTower, cost: Cost, *, n: int, ranks: int) -> list[str]:
    """Per rank: weights, gradients and momentum, activations, banks."""
    everything = sum(p.numel() for p in model.parameters())
    text = sum(p.numel() for p in model.text.parameters())
    text_trains = any(stage.lr_text is not None for stage in exp.stages)
    trained = everything if text_trains else everything - text
    weights = 4 * (everything + 2 * trained + (everything if exp.train.ema else 0))
    kept = cost.activations if exp.train.precision == "fp32" else cost.activations // 2
    shared = ranks if exp.objective.shard_banks else 1
    banked = exp.objective.name in BANKED
    kind = DTYPES[exp.objective.banks]
    banks = bank_bytes(n, exp.heads.dim, ranks=shared, dtype=kind) if banked else 0
    rho = exp.objective.rho
    method, queue, told = (0, 0, []) if rho is None else _method(rho, model)
    lines = [
        f"memory a rank: {_size(weights + kept + banks + method + queue)}",
        f"  weights, gradients, momentum: {_size(weights)}",
        f"  activations of {cost.clips} clips in {exp.train.precision}: {_size(kept)}"
        + (" and the language model's" if text_trains else ""),
        f"  banks: {_size(banks)}",
        *told,
    ]
    if banked:
        whole, parts = (bank_bytes(n, exp.heads.dim, ranks=size, dtype=kind) for size in (1, ranks))
        lines.append(f"  (banks whole: {_size(whole)}; shared by {ranks} ranks: {_size(parts)})")
    if exp.objective.learns_from_titles and any(stage.lr_text is None for stage in exp.stages):
        lines.append(f"main memory a rank: {_size(4 * n * model.text.dim)} of text features while text is frozen")
    return lines


def _time(exp: Experiment, cost: Cost, *, n: int, ranks: int, epochs: int, folder: Path, tflops: float) -> str:
    """Seconds of an epoch: as measured by a run that began here, else from the multiply-adds."""
    speed = _measured(folder / "metrics.jsonl")
    if speed is not None and speed.ranks is not None:
        seconds = n / (speed.rate * ranks / speed.ranks)
        source = _as_measured(speed.rate, speed.ranks, asked=ranks, folder=folder)
    else:
        seconds = n * 2 * passes_of(exp) * cost.macs / (tflops * 1e12 * ranks)
        source = f"assuming {tflops:g} TFLOP/s on each of {ranks} GPUs, and data in time"
        source += f"; the log in {folder} does not say how many ranks had its {speed.rate:.1f} clips/s" if speed else ""
    return f"time: {_duration(seconds)} an epoch, {_duration(seconds * epochs)} in all ({source})"


def _as_measured(rate: float, measured: int, *, asked: int, folder: Path) -> str:
    """Where the speed is from, and what is assumed where another number of ranks is asked for."""
    words = f"{rate:.1f} clips/s measured on {_ranks(measured)} in {folder}"
    if asked == measured:
        return words
    return f"{words}; for {_ranks(asked)} times {asked}/{measured}, assuming that speed grows with their number"


@dataclass(frozen=True)
class _Speed:
    """Clips a second of a run, all its ranks together; `ranks` is None where its log does not tell their number."""

    rate: float
    ranks: int | None


def _measured(path: Path) -> _Speed | None:
    """Median of the steps that a run logged with as many ranks as it had last; None without any."""
    steps = [row for row in rows_of(path) if row.get("event") == "step"]
    if not steps:
        return None
    ranks: int | None = steps[-1].get("world_size")
    rates = sorted(float(row["clips_per_second"]) for row in steps if row.get("world_size") == ranks)
    return _Speed(rates[len(rates) // 2], ranks)


def _ranks(count: int) -> str:
    return f"{count} rank{'s' if count > 1 else ''}"


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _parameters(model: TwoTower) -> str:
    parts = {"video": model.video, "language model": model.text}
    counts = {part: sum(p.numel() for p in module.parameters()) for part, module in parts.items()}
    counts["heads"] = sum(p.numel() for p in model.parameters()) - sum(counts.values())
    return "parameters: " + ", ".join(f"{part} {count:,}" for part, count in counts.items())

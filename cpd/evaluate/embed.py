"""Embed the videos of a split, every view of each, in parts that survive a kill and that ranks share.

The parts and the calls within them are the same for any number of ranks, so that the numbers are, too, bit for bit.
Shapes: N videos, V views of one video, X views of a group of videos, D embedding, F res5.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize
from tqdm import tqdm

from cpd.config import Experiment, FeatureViews
from cpd.engine import distributed
from cpd.engine.distributed import World
from cpd.engine.together import stoppable
from cpd.errors import CpdError
from cpd.fileio import atomic_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cpd.models.checkpoint import Embedder
    from cpd.shards.loader import ViewBatch
    from cpd.shards.read import SampleTable

CLIPS_AT_ONCE = 60  # views embedded in one call: six videos of ten clips
PART = 240  # videos: seconds of a GPU, minutes of a CPU core


@dataclass(frozen=True)
class Embedded:
    """What became of some videos.

    Attributes:
        instances: those that could be decoded, in order.
        emb_ND: unit rows, the normalised mean over the views.
        res5_NF: the mean over the views.
        failed: (key, reason) of the others.
    """

    instances: list[int]
    emb_ND: Tensor
    res5_NF: Tensor
    failed: list[tuple[str, str]]


class Parts:
    """Finished parts of an extraction, in a folder of their own until the whole is written.

    They are npz files, whose checksums tell a torn or rotten one from a whole one.

    Args:
        folder: where they stand, and the lock of who makes them (`cpd.engine.runlock`).
        identity: what the numbers depend on. Parts of another identity are never read.
    """

    def __init__(self, folder: Path, *, identity: dict[str, Any]) -> None:
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        self._all = folder
        self._folder = folder / digest[:16]

    def read(self, first: int) -> Embedded | None:
        """The part that begins with instance `first`; None if it is not there, or torn."""
        try:
            with np.load(self._path(first), allow_pickle=False) as data:
                return Embedded(
                    instances=data["instances"].tolist(),
                    emb_ND=torch.from_numpy(data["emb"]),
                    res5_NF=torch.from_numpy(data["res5"]),
                    failed=[(key, reason) for key, reason in json.loads(str(data["failed"]))],
                )
        except FileNotFoundError:
            return None
        except Exception as error:  # zipfile, numpy and json each raise their own kinds for a torn file
            tqdm.write(f"{self._path(first)}: not whole, embedded again: {error}")
            return None

    def write(self, first: int, part: Embedded) -> None:
        """Keep a part, whole or not at all."""
        with atomic_path(self._path(first)) as beside, open(beside, "wb") as handle:
            np.savez(
                handle,
                instances=np.array(part.instances, dtype=np.int64),
                emb=part.emb_ND.numpy(),
                res5=part.res5_NF.numpy(),
                failed=np.array(json.dumps(part.failed)),
            )

    def missing(self, n: int) -> list[int]:
        """First instances of the parts of n videos that are not there, or torn."""
        return [first for first in range(0, n, PART) if self.read(first) is None]

    def joined(self, n: int) -> Embedded:
        """All parts of n videos, one in memory at a time besides the whole.

        Raises:
            CpdError: a part is not there.
        """
        whole = Embedded([], torch.empty(0), torch.empty(0), [])
        for first in range(0, n, PART):
            part = self.read(first)
            if part is None:
                raise CpdError(f"{self._path(first)}: gone while it was needed", hint="run the command again")
            whole = _appended(whole, part, n)
        rows = len(whole.instances)
        return Embedded(whole.instances, whole.emb_ND[:rows], whole.res5_NF[:rows], whole.failed)

    def remove(self) -> None:
        """Forget all parts, those of other identities too; a lock in the folder stays, and so does who waits for it."""
        for folder in self._all.glob("*/"):
            shutil.rmtree(folder)
        with contextlib.suppress(OSError):
            self._all.rmdir()

    def _path(self, first: int) -> Path:
        return self._folder / f"{first:09d}.npz"


def _appended(whole: Embedded, part: Embedded, n: int) -> Embedded:
    """`whole`, whose tensors have room for n rows from its first filled part on, and `part` behind its rows."""
    begin = len(whole.instances)
    instances, failed = whole.instances + part.instances, whole.failed + part.failed
    if not part.instances:
        return Embedded(instances, whole.emb_ND, whole.res5_NF, failed)
    emb_ND = whole.emb_ND if begin else part.emb_ND.new_empty(n, part.emb_ND.shape[1])
    res5_NF = whole.res5_NF if begin else part.res5_NF.new_empty(n, part.res5_NF.shape[1])
    emb_ND[begin : len(instances)] = part.emb_ND
    res5_NF[begin : len(instances)] = part.res5_NF
    return Embedded(instances, emb_ND, res5_NF, failed)


def embed(
    embedder: Embedder,
    table: SampleTable,
    settings: FeatureViews,
    *,
    parts: Parts,
    desc: str,
    world: World,
    stop: Callable[[], str] = lambda: "",
) -> None:
    """Embed every sample of a table into parts of `PART` videos; parts that are there are not embedded again.

    Each rank embeds a share of the missing parts; when any rank returns, all parts are there.

    Raises:
        Requeue: before a part `stop` gave a reason on some rank; what was embedded stays.
        CpdError: a video was not seen from every view, or a shard cannot be read.
    """
    from cpd.shards.loader import view_loader

    n = len(table)
    missing: list[int] = distributed.gather_objects(parts.missing(n) if world.first else [], world)[0]
    mine = {first: range(first, min(first + PART, n)) for first in distributed.share(missing, world)}
    wanted = [instance for instances in mine.values() for instance in instances]
    batches = view_loader(table, wanted, views=settings, workers=_workers(embedder.exp, world))
    with tqdm(total=len(wanted), desc=desc, unit="video", disable=None if world.first else True) as bar:
        turns = -(-len(missing) // world.size)
        for first, instances in stoppable(mine.items(), turns, stop=stop, world=world):
            views = islice(batches, len(instances))
            parts.write(first, _embed_part(embedder, views, settings.clips * settings.crops, bar=bar))
    distributed.barrier(world)


def _embed_part(embedder: Embedder, views: Iterable[ViewBatch], expected: int, *, bar: tqdm[Any]) -> Embedded:
    failed: list[tuple[str, str]] = []
    decoded: list[int] = []
    groups: list[tuple[Tensor, Tensor]] = []
    for group in _groups(_counted(views, failed, bar=bar)):
        _require_views(group, expected)
        decoded += [batch.instance for batch in group]
        groups.append(_embed_group(embedder, group))
    if not groups:
        return Embedded([], torch.empty(0), torch.empty(0), failed)
    return Embedded(decoded, torch.cat([emb for emb, _ in groups]), torch.cat([res5 for _, res5 in groups]), failed)


def _workers(exp: Experiment, world: World) -> int:
    """Loader processes of this rank: as the experiment asks, else its share of the cores (none on a single core)."""
    cores = len(os.sched_getaffinity(0))
    return exp.train.workers if exp.train.workers is not None else max(1, cores // world.size) * (cores > 1)


def _counted(batches: Iterable[ViewBatch], failed: list[tuple[str, str]], *, bar: tqdm[Any]) -> Iterator[ViewBatch]:
    """Pass on what was decoded; list what was not in `failed`."""
    for batch in batches:
        bar.update()
        if batch.failed:
            failed += batch.failed
        else:
            yield batch


def _groups(batches: Iterable[ViewBatch]) -> Iterator[list[ViewBatch]]:
    """Videos together until they have `CLIPS_AT_ONCE` views."""
    group: list[ViewBatch] = []
    for batch in batches:
        group.append(batch)
        if sum(len(member.clips_VTHWC) for member in group) >= CLIPS_AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _require_views(group: list[ViewBatch], expected: int) -> None:
    """A video must be seen from every view: an average over fewer is another measurement."""
    for batch in group:
        if len(batch.clips_VTHWC) != expected:
            raise CpdError(
                f"{batch.key}: {len(batch.clips_VTHWC)} views instead of {expected}", hint="verify its shard"
            )


def _embed_group(embedder: Embedder, group: list[ViewBatch]) -> tuple[Tensor, Tensor]:
    """Mean over the views of each video: emb_BD (normalised after averaging) and res5_BF."""
    emb_XD, res5_XF = embedder.embed_clips(torch.cat([batch.clips_VTHWC for batch in group]))
    sizes = [len(batch.clips_VTHWC) for batch in group]
    emb_BD = torch.stack([part_VD.mean(dim=0) for part_VD in torch.split(emb_XD, sizes)])
    return normalize(emb_BD, dim=1), torch.stack([part_VF.mean(dim=0) for part_VF in torch.split(res5_XF, sizes)])

"""Batches of clips for training, and all test views of a video for evaluation.

Every sample's augmentation is seeded by (seed, epoch, key), so that batches do not depend on the number of workers or
ranks. A video that cannot be decoded is reported by key and left out; no other takes its place.

B batch, T frames, H, W pixels, C = 3, V views of one video: clips * crops, or the rho clips of persistency.
"""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from cpd.errors import CpdError
from cpd.video import sample, transforms
from cpd.video.decode import Verified, decode_frames
from cpd.video.probe import VideoError
from cpd.video.views import all_views, rho_views

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from cpd.config import FeatureViews, Views
    from cpd.shards.read import SampleTable, VideoStore

TIMEOUT = 300  # seconds; a worker that gives nothing for so long is hung
_KEPT = 24 << 20  # bytes; glibc learns from blocks of up to 32 MiB


class ClipBatch(NamedTuple):
    """A batch: uint8 (B, T, H, W, 3), instance indices int64 (B,), their keys, and (key, reason) of what failed.

    A loader of rho clips gives (B, V, T, H, W, 3).
    """

    clip_BTHWC: torch.Tensor
    index_B: torch.Tensor
    keys: list[str]
    failed: list[tuple[str, str]]


class ViewBatch(NamedTuple):
    """All views of one video: uint8 (V, T, H, W, 3), clip by clip and crop by crop; V = 0 if `failed` is not empty."""

    clips_VTHWC: torch.Tensor
    instance: int
    key: str
    failed: list[tuple[str, str]]


def epoch_batches(n: int, *, batch: int, seed: int, epoch: int, world: int) -> list[list[int]]:
    """Global batches of an epoch: a permutation of 0..n-1, cut into pieces of `batch`.

    A remainder that would leave a rank with fewer than two samples (BatchNorm needs two) joins the batch before.
    """
    order = np.random.default_rng([seed, epoch]).permutation(n).tolist()
    batches = [order[first : first + batch] for first in range(0, n, batch)]
    if len(batches) > 1 and len(batches[-1]) < 2 * world:
        batches[-2:] = [batches[-2] + batches[-1]]
    return batches


def worker_count(asked: int | None, *, shards: int, world: int) -> int:
    """Loader processes per rank: as asked, or one per core that this process may use (none on a single core).

    Raises:
        CpdError: there are fewer shards than ranks x workers.
    """
    if shards < world * max(asked or 0, 1):
        raise CpdError(
            f"{shards} shards cannot feed {world} ranks x {max(asked or 0, 1)} workers",
            hint="lower train.workers or sources.*.chunk_size",
        )
    if asked is not None:
        return asked
    cores = len(os.sched_getaffinity(0))
    return 0 if cores == 1 else min(max(cores // world, 1), shards // world)


def clip_loader(
    table: SampleTable,
    *,
    views: Views,
    batches: list[list[int]],
    seed: int,
    epoch: int,
    workers: int,
    train: bool,
    rho: int | None = None,
) -> Iterator[ClipBatch]:
    """Load these batches in order: augmented clips if `train`, else the centre clip and centre crop.

    Args:
        table: the samples.
        views: how clips are sampled and augmented.
        batches: instance indices; with several ranks, this rank's share of every global batch.
        seed: with `epoch` and the key, of the augmentation.
        epoch: from 0.
        workers: loader processes; 0 loads in this one.
        train: whether to augment.
        rho: give this many augmented clips of each video, from one decode (1: two augmentations of one clip).

    Raises:
        CpdError: a shard is gone, or a worker died or hung.
    """
    clips = _Clips(_Videos.of(table), views, seed=seed, epoch=epoch, train=train, rho=rho)
    return _iterate(_loader(clips, workers, batches), workers)


def view_loader(
    table: SampleTable, instances: Sequence[int], *, views: FeatureViews, workers: int
) -> Iterator[ViewBatch]:
    """Load all test views of each of these videos, in order, from one decode pass each.

    Raises:
        CpdError: a shard is gone, or a worker died or hung.
    """
    return _iterate(_loader(_Views(_Videos.of(table), views), workers, list(instances)), workers)


@dataclass(frozen=True)
class _Videos:
    """What workers need of a table: little, since it is copied into each."""

    store: VideoStore
    keys: NDArray[np.bytes_]
    frames_N: NDArray[np.int64]
    digest_ND: NDArray[np.uint8]

    @classmethod
    def of(cls, table: SampleTable) -> _Videos:
        frames = np.array([row["frames"] for row in table.meta], np.int64)
        digests = np.frombuffer(bytes.fromhex("".join(row["sha256"] for row in table.meta)), np.uint8)
        return cls(table.store, np.array(table.keys, "S"), frames, digests.reshape(-1, 32))

    def read(self, instance: int) -> Verified:
        """The clip of an instance, as it was packed: decoders make pictures out of flipped bits without a word.

        Raises:
            VideoError: corrupt: it has other bytes.
            CpdError: the shard is gone or cut.
        """
        video = self.store.read(instance)
        if hashlib.sha256(video).digest() != self.digest_ND[instance].tobytes():
            raise VideoError("corrupt", "it has changed since it was packed: run `cpd shards verify`")
        return Verified(video)

    def key(self, instance: int) -> str:
        return str(self.keys[instance].decode())


class _Clips(Dataset[ClipBatch]):
    """Whole batches: item [3, 8, ...] is the batch of these instances, each clip made where it stays."""

    def __init__(
        self, videos: _Videos, views: Views, *, seed: int, epoch: int, train: bool, rho: int | None = None
    ) -> None:
        self.videos = videos
        self.views = views
        self.seed = seed
        self.epoch = epoch
        self.train = train
        self.rho = rho

    def __getitem__(self, instances: list[int]) -> ClipBatch:
        made = () if self.rho is None or not self.train else (max(self.rho, 2),)
        size = self.views.size
        clip_BTHWC = _room((len(instances), *made, self.views.frames, size, size, 3))
        good: list[int] = []
        failed = []
        for instance in instances:
            key = self.videos.key(instance)
            try:
                self._clip(instance, key, clip_BTHWC[len(good)].numpy())
                good.append(instance)
            except VideoError as error:
                failed.append((key, error.reason))
        index_B = torch.tensor(good, dtype=torch.int64)
        return ClipBatch(clip_BTHWC[: len(good)], index_B, [self.videos.key(i) for i in good], failed)

    def _clip(self, instance: int, key: str, out: NDArray[np.uint8]) -> None:
        views, n_frames = self.views, int(self.videos.frames_N[instance])
        video = self.videos.read(instance)
        if not self.train:
            wanted = sample.test_indices(n_frames, 1, views.frames, views.stride)[0]
            transforms.crop(decode_frames(video, wanted), views.size, out[None])
            return
        rng = sample_rng(self.seed, epoch=self.epoch, key=key)
        if self.rho is not None:
            rho_views(video, n_frames, views, self.rho, rng, out=out)
            return
        wanted = sample.train_indices(n_frames, views, rng)
        transforms.train_clip(decode_frames(video, wanted), views, rng, out=out)


class _Views(Dataset[ViewBatch]):
    def __init__(self, videos: _Videos, views: FeatureViews) -> None:
        self.videos = videos
        self.views = views

    def __getitem__(self, instance: int) -> ViewBatch:
        key, views = self.videos.key(instance), self.views
        shape = (views.frames, views.size, views.size, 3)
        try:
            video = self.videos.read(instance)
            clips_VTHWC = _room((views.clips * views.crops, *shape))
            all_views(video, int(self.videos.frames_N[instance]), views, out=clips_VTHWC.numpy())
            return ViewBatch(clips_VTHWC, instance, key, [])
        except VideoError as error:
            return ViewBatch(torch.empty((0, *shape), dtype=torch.uint8), instance, key, [(key, error.reason)])


def _room(shape: tuple[int, ...]) -> torch.Tensor:
    """Room for uint8: in a worker it is memory that the parent sees, so that nothing is copied on the way there."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8)
    storage = torch.UntypedStorage._new_shared(math.prod(shape))  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(storage).view(shape)


def sample_rng(seed: int, *, epoch: int, key: str) -> np.random.Generator:
    """The generator of one sample's augmentation in one epoch."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{key}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def _loader(dataset: Dataset[Any], workers: int, items: Sequence[Any]) -> DataLoader[Any]:
    """Those items of the dataset, in order, as they are."""
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=items,
        collate_fn=_as_it_is,
        num_workers=workers,
        worker_init_fn=_start_worker,
        generator=torch.Generator(),  # of its own: loading must not move the training's random state
        multiprocessing_context=_context() if workers else None,
        timeout=TIMEOUT if workers else 0,
        pin_memory=torch.cuda.is_available(),
    )


def _as_it_is(item: Any) -> Any:
    return item


def _context() -> str:
    """`fork` where there is one: workers begin at once; elsewhere the platform's own way."""
    return "fork" if "fork" in multiprocessing.get_all_start_methods() else multiprocessing.get_start_method()


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Let this process keep large blocks that it frees, for the next clip.

    glibc gives blocks of more than 128 KB back to the kernel; to get them again, page by page, costs more than the
    augmentation of a clip. When a larger block is freed once, it keeps what is smaller (mallopt(3),
    M_MMAP_THRESHOLD). Other allocators are left as they are.
    """
    np.empty(_KEPT, np.uint8)


def _iterate(loader: DataLoader[Any], workers: int) -> Iterator[Any]:
    batches = iter(loader)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except RuntimeError as error:
            if workers and "DataLoader" in str(error):
                raise CpdError(f"a loader process died or hung: {error}", hint="lower train.workers") from error
            raise
        yield batch

"""Whole epochs on several ranks and workers: every instance once, the same after a stop, and no memory kept."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from cpd.config import FeatureViews, Views
from cpd.shards import loader
from cpd.shards.loader import ClipBatch, clip_loader, epoch_batches, view_loader
from cpd.shards.members import read_samples
from cpd.shards.read import SampleTable
from cpd.video import sample, transforms
from cpd.video.decode import decode_frames
from tests.shards.small_shards import Corpus

VIEWS = Views(frames=2, stride=4, size=16)


@pytest.fixture
def table(corpus: Corpus) -> Iterator[SampleTable]:
    opened = SampleTable.open(corpus.results, [("a", "train"), ("b", "train")])
    yield opened
    opened.close()


def rank_batches(table: SampleTable, *, rank: int, world: int, epoch: int) -> list[list[int]]:
    """A rank's share of every global batch."""
    return [one[rank::world] for one in epoch_batches(len(table), batch=6, seed=3, epoch=epoch, world=world)]


def load(table: SampleTable, batches: list[list[int]], *, epoch: int, workers: int) -> list[ClipBatch]:
    return list(clip_loader(table, views=VIEWS, batches=batches, seed=3, epoch=epoch, workers=workers, train=True))


def assert_same(one: list[ClipBatch], other: list[ClipBatch]) -> None:
    assert [batch.keys for batch in one] == [batch.keys for batch in other]
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.index_B, b.index_B)
        assert torch.equal(a.clip_BTHWC, b.clip_BTHWC)


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_instance_once_and_the_same_after_a_stop(table: SampleTable, world: int, workers: int) -> None:
    """An epoch that is stopped after any batch goes on with the very batches that it would have had."""
    seen: list[int] = []
    for rank in range(world):
        batches = rank_batches(table, rank=rank, world=world, epoch=1)
        whole = load(table, batches, epoch=1, workers=workers)
        seen += [index for batch in whole for index in batch.index_B.tolist()]
        for done in range(1, len(batches)):
            assert_same(load(table, batches[done:], epoch=1, workers=workers), whole[done:])
        assert_same(load(table, batches, epoch=1, workers=0), whole)
    assert sorted(seen) == list(range(len(table)))


def test_a_loader_that_is_left_early_ends_its_workers(table: SampleTable) -> None:
    batches = clip_loader(table, views=VIEWS, batches=[[0, 1]] * 20, seed=0, epoch=0, workers=2, train=True)
    assert len(next(batches).keys) == 2
    children = set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
    assert len(children) >= 2
    batches.close()  # type: ignore[attr-defined]
    del batches
    left = set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
    assert len(children - left) >= 2


@pytest.mark.parametrize("workers", [0, 1])
def test_a_clip_with_flipped_bits_is_reported(corpus: Corpus, table: SampleTable, workers: int) -> None:
    """Decoders make pictures out of damage without a word: the bytes are compared with what was packed."""
    path = corpus.folder("b") / "shards/train-0000.tar"
    offset, size = read_samples(path)[1].video
    with path.open("r+b") as handle:
        handle.seek(offset + size // 2)
        byte = handle.read(1)[0]
        handle.seek(offset + size // 2)
        handle.write(bytes([byte ^ 1]))
    (batch,) = load(table, [[12, 13, 14]], epoch=0, workers=workers)
    assert batch.index_B.tolist() == [12, 14]
    assert [key for key, _ in batch.failed] == [table.keys[13]]
    assert "changed since it was packed" in batch.failed[0][1]
    (view,) = view_loader(table, [13], views=FeatureViews(clips=1, size=16), workers=workers)
    assert view.failed[0][0] == table.keys[13]


def resident(pid: int | str = "self") -> int:
    """Kilobytes of anonymous memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_memory_stays_flat(table: SampleTable, workers: int) -> None:
    """50 epochs; what later ones hold beyond the warmed-up first is within 5 %."""
    sizes = []
    for epoch in range(50):
        batches = rank_batches(table, rank=0, world=1, epoch=epoch)
        load(table, batches, epoch=epoch, workers=workers)
        sizes.append(resident())
    assert max(sizes[10:]) <= 1.05 * sizes[5]
    assert len(list(Path("/proc/self/fd").iterdir())) < 200


@pytest.mark.slow
def test_a_workers_memory_stays_flat(table: SampleTable) -> None:
    """The same inside one worker, over as many clips as 50 epochs have."""
    batches = [list(range(len(table)))] * 50
    sizes = []
    loaded = clip_loader(table, views=VIEWS, batches=batches, seed=0, epoch=0, workers=1, train=True)
    for _ in loaded:
        sizes.append(resident(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()[-1]))
    assert max(sizes[10:-5]) <= 1.05 * sizes[5]


@pytest.mark.parametrize("cuda", [False, True])
def test_memory_is_pinned_where_there_is_a_gpu(table: SampleTable, monkeypatch: pytest.MonkeyPatch, cuda: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    dataset = loader._Clips(loader._Videos.of(table), VIEWS, seed=0, epoch=0, train=True)
    made = loader._loader(dataset, 2, [[0]])
    assert made.pin_memory is cuda
    assert made.prefetch_factor == 2


def test_thirty_views_are_the_same_whoever_makes_them(table: SampleTable) -> None:
    """10 clips x 3 crops: nothing is drawn."""
    views = FeatureViews(clips=10, crops=3, frames=4, stride=4, size=16)
    alone = list(view_loader(table, [3, 11], views=views, workers=0))
    beside = list(view_loader(table, [3, 11], views=views, workers=2))
    for one, other in zip(alone, beside, strict=True):
        assert one.clips_VTHWC.shape == (30, 4, 16, 16, 3)
        assert torch.equal(one.clips_VTHWC, other.clips_VTHWC)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_is_made_of_single_clips(table: SampleTable, workers: int) -> None:
    """Clip by clip, each in memory of its own; a worker's batch is in memory that it shares with this process."""
    (batch,) = load(table, [[4, 9, 0]], epoch=3, workers=workers)
    assert batch.clip_BTHWC.is_shared() is bool(workers)
    for clip_THWC, index in zip(batch.clip_BTHWC.numpy(), (4, 9, 0), strict=True):
        rng = loader.sample_rng(3, epoch=3, key=table.keys[index])
        wanted = sample.train_indices(table.meta[index]["frames"], VIEWS, rng)
        alone = transforms.train_clip(decode_frames(table.video(index), wanted), VIEWS, rng)
        assert np.array_equal(clip_THWC, alone)
    (view,) = view_loader(table, [4], views=FeatureViews(clips=2, size=16), workers=workers)
    assert view.clips_VTHWC.is_shared() is bool(workers)


FAULTS = """
import resource
import numpy as np
from cpd.shards.loader import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [np.ones(3 << 20, np.uint8) for _ in range(3)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
before = faults()
keep_freed_memory()
faults()
print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_kept() -> None:
    """A block of 3 MiB comes in 768 pages, or in none."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "LD_PRELOAD"))}
    run = subprocess.run([sys.executable, "-c", FAULTS], env=environment, capture_output=True, text=True, check=True)
    before, after = map(int, run.stdout.split())
    assert before > 20 * 768
    assert after < 768

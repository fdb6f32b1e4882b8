from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cpd.config import FeatureViews, Views
from cpd.errors import CpdError
from cpd.shards import loader
from cpd.shards.loader import ClipBatch, clip_loader, epoch_batches, view_loader, worker_count
from cpd.shards.read import SampleTable
from cpd.video import sample, transforms
from cpd.video import views as views_module
from cpd.video.decode import decode_frames
from tests.shards.small_shards import CHUNKS_A, Corpus, row
from tests.video.counter_video import read_counter
from tests.whole_crops import centre_clip, three_crops

VIEWS = Views(frames=4, stride=4, size=32)
# Without a crop the counters are legible: the videos are 64 x 48, so the grid is squared by hand below.
LEGIBLE = Views(frames=4, stride=4, size=48, scales=(1.0,), flip=False, jitter=0.0)


@pytest.fixture
def table(corpus: Corpus) -> Iterator[SampleTable]:
    opened = SampleTable.open(corpus.results, [("a", "train"), ("b", "train")])
    yield opened
    opened.close()


def batches_of(
    table: SampleTable, *, workers: int, train: bool = True, epoch: int = 0, batch: int = 4
) -> list[ClipBatch]:
    batches = epoch_batches(len(table), batch=batch, seed=0, epoch=epoch, world=1)
    loaded = clip_loader(table, views=VIEWS, batches=batches, seed=0, epoch=epoch, workers=workers, train=train)
    return list(loaded)


def assert_same(one: list[ClipBatch], other: list[ClipBatch]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.clip_BTHWC, b.clip_BTHWC)
        assert torch.equal(a.index_B, b.index_B)
        assert (a.keys, a.failed) == (b.keys, b.failed)


@given(
    n=st.integers(1, 300),
    batch=st.integers(1, 64),
    world=st.integers(1, 8),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 5),
)
def test_batches_cover_everything_once(n: int, batch: int, world: int, seed: int, epoch: int) -> None:
    batches = epoch_batches(n, batch=batch, seed=seed, epoch=epoch, world=world)
    assert sorted(i for one in batches for i in one) == list(range(n))
    assert all(len(one) == batch for one in batches[:-1])
    assert len(batches) == 1 or len(batches[-1]) >= min(2 * world, batch)
    assert len(batches[-1]) < batch + 2 * world


def test_epochs_and_seeds_differ() -> None:
    first = epoch_batches(100, batch=10, seed=0, epoch=0, world=1)
    assert first == epoch_batches(100, batch=10, seed=0, epoch=0, world=4)
    assert first != epoch_batches(100, batch=10, seed=0, epoch=1, world=1)
    assert first != epoch_batches(100, batch=10, seed=1, epoch=0, world=1)


def test_batches_do_not_depend_on_workers(table: SampleTable) -> None:
    """Fault 64."""
    alone = batches_of(table, workers=0)
    assert_same(alone, batches_of(table, workers=1))
    assert_same(alone, batches_of(table, workers=2))
    assert sorted(i for batch in alone for i in batch.index_B.tolist()) == list(range(15))
    assert alone[0].clip_BTHWC.shape == (4, 4, 32, 32, 3)
    assert alone[0].clip_BTHWC.dtype == torch.uint8
    assert alone[0].keys == [table.keys[i] for i in alone[0].index_B.tolist()]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_samples_do_not_depend_on_ranks(table: SampleTable, world: int) -> None:
    whole = {
        int(i): clip for b in batches_of(table, workers=0) for i, clip in zip(b.index_B, b.clip_BTHWC, strict=True)
    }
    seen: list[int] = []
    for rank in range(world):
        batches = [one[rank::world] for one in epoch_batches(len(table), batch=6, seed=0, epoch=0, world=world)]
        for batch in clip_loader(table, views=VIEWS, batches=batches, seed=0, epoch=0, workers=0, train=True):
            seen += batch.index_B.tolist()
            for i, clip in zip(batch.index_B.tolist(), batch.clip_BTHWC, strict=True):
                assert torch.equal(clip, whole[i])
    assert sorted(seen) == list(range(15))


def test_epochs_augment_anew_and_validation_does_not(table: SampleTable) -> None:
    def clips(**options: int | bool) -> dict[int, torch.Tensor]:
        loaded = batches_of(table, workers=0, **options)  # type: ignore[arg-type]
        return {int(i): clip for b in loaded for i, clip in zip(b.index_B, b.clip_BTHWC, strict=True)}

    first, second = clips(epoch=0), clips(epoch=1)
    assert any(not torch.equal(first[i], second[i]) for i in first)
    still, again = clips(epoch=0, train=False), clips(epoch=1, train=False)
    assert all(torch.equal(still[i], again[i]) for i in still)


def counters(clip_THWC: np.ndarray) -> list[int]:
    """Numbers shown by centre-cropped 64 x 48 videos: columns 8 to 56 of 64, so widen before reading."""
    return [read_counter(np.pad(frame, ((0, 0), (8, 8), (0, 0)), mode="edge")) for frame in clip_THWC]


def test_validation_clips_show_the_frames_they_should(table: SampleTable) -> None:
    loaded = clip_loader(table, views=LEGIBLE, batches=[list(range(15))], seed=0, epoch=0, workers=0, train=False)
    for clip, index in zip(next(loaded).clip_BTHWC.numpy(), range(15), strict=True):
        n = table.meta[index]["frames"]
        assert counters(clip) == sample.test_indices(n, 1, 4, 4)[0]


def poisoned(corpus: Corpus) -> SampleTable:
    """Source `a` with its instance 6 unreadable."""
    rows = corpus.rows("a", "train-0001", 4)
    broken = corpus.videos[0].parent / "poison.mp4"
    broken.write_bytes(corpus.videos[0].read_bytes()[:1500])
    rows[1] = row("a", "train", "poison", broken, 30)
    corpus.add("a", "train-0001", rows)
    corpus.index("a", CHUNKS_A)
    return SampleTable.open(corpus.results, [("a", "train")])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_video_is_reported_and_not_replaced(corpus: Corpus, workers: int) -> None:
    """Defect k and fault 62."""
    table = poisoned(corpus)
    batches = batches_of(table, workers=workers)
    failed = [item for batch in batches for item in batch.failed]
    assert [key for key, _ in failed] == [table.keys[5 + 1]]
    assert failed[0][1]
    assert sorted(i for batch in batches for i in batch.index_B.tolist()) == [i for i in range(12) if i != 6]
    assert all(len(b.clip_BTHWC) == len(b.index_B) == len(b.keys) for b in batches)
    only = clip_loader(table, views=VIEWS, batches=[[6]], seed=0, epoch=0, workers=0, train=True)
    assert len(next(only).clip_BTHWC) == 0
    views = list(view_loader(table, [5, 6, 7], views=FeatureViews(clips=2, size=32), workers=workers))
    assert [(view.instance, bool(view.failed), len(view.clips_VTHWC)) for view in views] == [
        (5, False, 2),
        (6, True, 0),
        (7, False, 2),
    ]
    table.close()


@pytest.mark.parametrize(("crops", "workers"), [(1, 0), (3, 0), (3, 2)])
def test_views_are_those_of_single_decodes(table: SampleTable, crops: int, workers: int) -> None:
    views = FeatureViews(clips=4, crops=crops, frames=4, stride=4, size=32)
    loaded = list(view_loader(table, [11, 2, 7], views=views, workers=workers))
    assert [view.instance for view in loaded] == [11, 2, 7]
    for view in loaded:
        assert view.key == table.keys[view.instance]
        assert view.clips_VTHWC.shape == (4 * crops, 4, 32, 32, 3)
        wanted = []
        for indices in sample.test_indices(table.meta[view.instance]["frames"], 4, 4, 4):
            frames = decode_frames(table.video(view.instance), indices)
            wanted += list(three_crops(frames, 32)) if crops == 3 else [centre_clip(frames, 32)]
        assert np.array_equal(view.clips_VTHWC.numpy(), np.stack(wanted))


def test_loading_leaves_the_random_state_alone(table: SampleTable) -> None:
    before = torch.get_rng_state()
    batches_of(table, workers=1)
    assert torch.equal(before, torch.get_rng_state())


def test_a_killed_worker_is_an_error(table: SampleTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 63."""
    main = os.getpid()
    plain = loader.decode_frames

    def deadly(video: bytes, wanted: list[int]) -> object:
        if os.getpid() != main:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(video, wanted)

    monkeypatch.setattr(loader, "decode_frames", deadly)
    with pytest.raises(CpdError, match="died"):
        batches_of(table, workers=1)


@pytest.mark.slow
def test_a_hung_worker_is_an_error(table: SampleTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "TIMEOUT", 1)
    monkeypatch.setattr(loader, "decode_frames", lambda *_: signal.pause())
    with pytest.raises(CpdError, match="died or hung"):
        batches_of(table, workers=1)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_that_goes_away_is_an_error(corpus: Corpus, table: SampleTable, workers: int) -> None:
    path: Path = corpus.folder("a") / "shards/train-0001.tar"
    path.rename(path.with_suffix(".away"))
    with pytest.raises(CpdError, match=r"train-0001\.tar"):
        batches_of(table, workers=workers)


@pytest.mark.parametrize(
    ("cores", "asked", "shards", "world", "expected"),
    [
        (8, None, 100, 1, 8),
        (8, None, 100, 4, 2),
        (8, None, 3, 1, 3),
        (8, None, 5, 2, 2),
        (2, None, 100, 4, 1),
        (1, None, 100, 1, 0),
        (1, 4, 100, 1, 4),
        (8, 0, 1, 1, 0),
    ],
)
def test_worker_count(
    monkeypatch: pytest.MonkeyPatch, cores: int, asked: int | None, shards: int, world: int, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    assert worker_count(asked, shards=shards, world=world) == expected


@pytest.mark.parametrize(("asked", "shards", "world"), [(4, 3, 2), (None, 1, 2), (0, 1, 2), (2, 1, 1)])
def test_too_few_shards(asked: int | None, shards: int, world: int) -> None:
    """Fault 61."""
    with pytest.raises(CpdError, match=f"{shards} shards cannot feed {world} ranks"):
        worker_count(asked, shards=shards, world=world)


@pytest.mark.parametrize("rho", [1, 2, 4])
def test_rho_clips_of_one_video_come_from_one_decode(
    table: SampleTable, monkeypatch: pytest.MonkeyPatch, rho: int
) -> None:
    """Each is what `train_clip` makes of its own frames; with rho = 1 the two are of the same frames."""
    asked: list[list[int]] = []
    real = views_module.decode_frames

    def counted(video: bytes, wanted: list[int]) -> object:
        asked.append(list(wanted))
        return real(video, wanted)

    monkeypatch.setattr(views_module, "decode_frames", counted)
    (batch,) = clip_loader(table, views=VIEWS, batches=[[3, 9]], seed=5, epoch=2, workers=0, train=True, rho=rho)
    assert batch.clip_BTHWC.shape == (2, max(rho, 2), 4, 32, 32, 3)
    assert len(asked) == 2
    for clips_VTHWC, index, frames in zip(batch.clip_BTHWC.numpy(), (3, 9), asked, strict=True):
        assert frames == sorted(set(frames))
        rng = loader.sample_rng(5, epoch=2, key=table.keys[index])
        wanted = sample.rho_indices(table.meta[index]["frames"], VIEWS, rho, rng)
        assert len(set(map(tuple, wanted))) == (1 if rho == 1 else len(set(map(tuple, wanted))))
        for clip_THWC, indices in zip(clips_VTHWC, wanted, strict=True):
            alone = transforms.train_clip(decode_frames(table.video(index), indices), VIEWS, rng)
            assert np.array_equal(clip_THWC, alone)
        assert not np.array_equal(clips_VTHWC[0], clips_VTHWC[1])


@pytest.mark.parametrize("workers", [1, 2])
def test_rho_clips_do_not_depend_on_workers(table: SampleTable, workers: int) -> None:
    def load(workers: int) -> list[ClipBatch]:
        batches = epoch_batches(len(table), batch=4, seed=0, epoch=0, world=1)
        return list(
            clip_loader(table, views=VIEWS, batches=batches, seed=0, epoch=0, workers=workers, train=True, rho=3)
        )

    assert_same(load(0), load(workers))

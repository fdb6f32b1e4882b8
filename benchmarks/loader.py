"""The loader from shard to batch, with augmentation and two worker processes, in CPU time of all processes."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import webdataset
from torch.utils.data import DataLoader, Dataset

from benchmarks import obvious_clips as obvious
from benchmarks.clip_store import DEFAULT, OURS, OURS_SMALL, SIDE, SMALL_SIDE, Stored, sources, store
from benchmarks.clips import LIMIT, SHORT, beside, limit, random_frames
from benchmarks.harness import Options, Way, cpu_seconds, gain, measure, median
from benchmarks.record import Findings
from cpd.config import Views
from cpd.fileio import write_json
from cpd.shards.keys import sample_key
from cpd.shards.loader import clip_loader, keep_freed_memory, sample_rng
from cpd.shards.read import SampleTable
from cpd.shards.write import Row, write_shard
from cpd.video import decode
from cpd.video.sample import train_indices
from cpd.video.transforms import train_clip

TITLE = "Loader: from the shard to the batch"
WORKERS, BATCH = 2, 16
BIG, SMALL = "ours, 256 store", "ours, 176 store"
PLAIN = "plain Dataset, the authors' way, ffmpeg's default"
WEB = "webdataset, PyAV seek, ffmpeg's default"
VIEWS = Views()


def run(options: Options) -> Findings:
    """An epoch over some dozens of clips; ours reads them again and again."""
    clips = [store(video, options.work) for video in sources(options)]
    samples = [clip for clip in clips for _ in range(2 if options.quick else 48 // len(clips))]
    times = 2 if options.quick else 24
    big, small = (shards(samples, encoding, options.work / encoding) for encoding in (OURS, OURS_SMALL))
    ways = [
        Way(name=BIG, side="ours", run=_ours(big, times), times=times),
        Way(name=SMALL, side="ours", run=_ours(small, times), times=times),
        *(limit(samples, encoding, random_frames(VIEWS)) for encoding in (OURS, OURS_SMALL)),
        Way(name=PLAIN, side="obvious", run=_plain(samples)),
        Way(name=WEB, side="peer", run=_web(samples, options.work / "default.tar")),
    ]
    table = measure(
        "An epoch, augmentation included", ways, rounds=options.rounds(7), unit="CPU ms a clip", work=len(samples)
    )
    shares = measure(
        "Of a clip of the 176 store", _shares(samples, small), rounds=options.rounds(5), work=len(samples),
        note="What a clip costs in a worker, each part alone; the rest: two processes, and cold caches.",
    )  # fmt: skip
    start = 1000 * median([cpu_seconds(_starts(big)) for _ in range(options.rounds(3))])
    return Findings(
        title=TITLE,
        about=f"{len(samples)} clips (ours {times} times), {VIEWS.size} pixels, batches of {BATCH}, {WORKERS} workers",
        tables=(table, shares),
        targets=(
            gain(table, what="loader, 256 store", against=PLAIN, ours=BIG, other=PLAIN, at_least=12,
                 note=beside(table, PLAIN, SIDE)),
            gain(table, what="loader, 176 store", against=PLAIN, ours=SMALL, other=PLAIN, at_least=25,
                 note=beside(table, PLAIN, SMALL_SIDE)),
        ),
        notes=(
            "The authors' way has no colour jitter; ours has.",
            f"Workers start with the epoch and end with it: {start:.0f} ms of CPU for ours, whose epochs are longer, "
            f"so that all ways work for about as long: {start / (times * len(samples)):.2f} ms a clip.",
            LIMIT,
        ),
    )  # fmt: skip


def shards(samples: list[Stored], encoding: str, folder: Path) -> SampleTable:
    """One shard of these clips."""
    rows = [_row(number, clip, encoding, folder) for number, clip in enumerate(samples)]
    target = folder / "results/sources/bench/shards/train-0000.tar"
    sidecar = write_shard(rows, target)
    entry = {"name": "train-0000", "offset": 0, "n": sidecar["n"], "bytes": sidecar["bytes"]}
    index = {"train": {"n": sidecar["n"], "shards": [{**entry, "sha256": sidecar["sha256"]}]}, "ledger": {}}
    write_json(target.with_name("index.json"), index)
    return SampleTable.open(folder / "results", [("bench", "train")])


def _row(number: int, clip: Stored, encoding: str, folder: Path) -> Row:
    video = clip.videos[encoding]
    digest = hashlib.sha256(video).hexdigest()
    path = folder / f"{digest}.mp4"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(video)
    meta = {"id": f"{number}", "key": sample_key("bench", f"{number}"), "source": "bench", "split": "train"}
    text = dict.fromkeys(("title", "title_clean", "title_tree", "label"), "")
    return Row(path, {**meta, **text, "fps": 25.0, "frames": clip.frames, "sha256": digest})


def batches(n: int, seed: int) -> list[list[int]]:
    """A permutation, cut."""
    order = np.random.default_rng(seed).permutation(n).tolist()
    return [order[first : first + BATCH] for first in range(0, n, BATCH)]


def _ours(table: SampleTable, times: int) -> Callable[[int], object]:
    def epoch(number: int) -> None:
        order = [batch for again in range(times) for batch in batches(len(table), number * times + again)]
        for batch in clip_loader(table, views=VIEWS, train=True, batches=order, seed=number, epoch=0, workers=WORKERS):
            assert not batch.failed

    return epoch


def _shares(samples: list[Stored], table: SampleTable) -> list[Way]:
    """The parts of a clip's cost."""
    keep_freed_memory()
    rng = np.random.default_rng(0)
    videos = [table.video(number) for number in range(len(table))]
    frames = [
        decode.decode_frames(video, train_indices(clip.frames, VIEWS, rng))
        for video, clip in zip(videos, samples, strict=True)
    ]
    clips_THWC = np.empty((VIEWS.frames, VIEWS.size, VIEWS.size, 3), np.uint8)

    def augment(number: int) -> None:
        for instance, of_clip in enumerate(frames):
            drawn = sample_rng(number, epoch=0, key=table.keys[instance])
            train_clip(of_clip, VIEWS, drawn, out=clips_THWC)

    def share(number: int) -> None:
        """As many batches as the clips fill, written once."""
        for _ in range(len(samples) // BATCH):
            torch.UntypedStorage._new_shared(BATCH * clips_THWC.nbytes).fill_(number)

    return [
        limit(samples, OURS_SMALL, random_frames(VIEWS)),
        Way(name="its pictures found", side="other", run=lambda number: _plan_all(samples)),
        Way(name="its draws and its augmentation", side="other", run=augment),
        Way(name="its bytes read", side="other", run=lambda number: [table.video(i) for i in range(len(table))]),
        Way(name="their digest", side="other", run=lambda number: [hashlib.sha256(v).digest() for v in videos]),
        Way(name="new memory, shared with the parent", side="other", run=share),
    ]


def _plan_all(samples: list[Stored]) -> None:
    for number, clip in enumerate(samples):
        wanted = train_indices(clip.frames, VIEWS, np.random.default_rng(number))
        decode.plan(clip.videos[OURS_SMALL], set(wanted))


def _starts(table: SampleTable) -> Callable[[], object]:
    """Workers that have nothing to do."""
    return lambda: list(clip_loader(table, views=VIEWS, train=True, batches=[], seed=0, epoch=0, workers=WORKERS))


class _Plain(Dataset[torch.Tensor]):
    """A clip a file, decoded whenever it is asked for."""

    def __init__(self, samples: list[Stored]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> torch.Tensor:
        clip, rng = self.samples[index], np.random.default_rng(index)
        start = int(rng.integers(max(clip.frames - VIEWS.frames * VIEWS.stride, 1)))
        what = {"frames": VIEWS.frames, "stride": VIEWS.stride, "size": VIEWS.size, "short": SHORT[VIEWS.size]}
        return obvious.read_official(clip.videos[DEFAULT], start, rng=rng, **what)  # type: ignore[arg-type]


def _plain(samples: list[Stored]) -> Callable[[int], object]:
    def epoch(number: int) -> None:
        order = batches(len(samples), number)
        for _ in DataLoader(_Plain(samples), batch_sampler=order, num_workers=WORKERS):
            pass

    return epoch


def _web(samples: list[Stored], tar: Path) -> Callable[[int], object]:
    with tarfile.open(tar, "w") as archive:
        for number, clip in enumerate(samples):
            meta = json.dumps({"frames": clip.frames}).encode()
            obvious.add(archive, {f"{number:06d}.json": meta, f"{number:06d}.mp4": clip.videos[DEFAULT]})

    def one(sample: dict[str, bytes]) -> torch.Tensor:
        rng = np.random.default_rng(len(sample["mp4"]))
        start = int(rng.integers(max(json.loads(sample["json"])["frames"] - VIEWS.frames * VIEWS.stride, 1)))
        wanted = list(range(start, start + VIEWS.frames * VIEWS.stride, VIEWS.stride))
        frames = obvious.decode_by_seek(sample["mp4"], wanted)
        clip_THWC = obvious.random_square(frames, scales=VIEWS.scales, size=VIEWS.size, rng=rng)
        return torch.from_numpy(obvious.jitter(clip_THWC, rng.uniform(0.6, 1.4, 3)))

    def epoch(number: int) -> None:
        data = webdataset.WebDataset(str(tar), shardshuffle=False, empty_check=False).shuffle(100).map(one)
        split = data.compose(webdataset.split_by_worker)
        for _ in DataLoader(split.batched(BATCH, collation_fn=torch.stack), batch_size=None, num_workers=WORKERS):
            pass

    return epoch

"""Random clips of 8 frames out of stored videos: bytes and clips a second, ours beside the obvious; one core.

python -m benchmarks.clips [--videos A.mp4 B.mp4 ...] [--short-side 256] [--size 112] [--rounds 5]

Every way ends in uint8 (8, size, size, 3): 8 frames, 4 apart, from a random start, one square. Times are CPU
milliseconds a clip, medians over interleaved rounds. The second table is the loader's way from shard to batch with all
of the augmentation; the third the augmentation alone. Without --videos a drifting texture is made up.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import webdataset

from benchmarks import obvious_clips as obvious
from benchmarks.clip_store import Store, made_up_video
from cpd.config import Clips, Views
from cpd.shards.loader import clip_loader
from cpd.shards.read import SampleTable
from cpd.video import transforms
from cpd.video.decode import _selective, decode_frames
from cpd.video.sample import train_indices

Jobs = dict[str, Callable[[int, int], object]]


def readers(store: Store, *, size: int, views: Views) -> Jobs:
    """Name -> (clip, seed) -> pixels."""

    def indices(clip: int, seed: int) -> list[int]:
        return train_indices(store.frames[clip], views, np.random.default_rng(seed))

    def plain(
        decode: Callable[[bytes, list[int]], obvious.Frames], videos: list[bytes]
    ) -> Callable[[int, int], object]:
        return lambda clip, seed: obvious.crop(decode(videos[clip], indices(clip, seed)), share=0.5, size=size)

    def ours(videos: list[bytes]) -> Callable[[int, int], object]:
        return lambda clip, seed: transforms.centre_clip(decode_frames(videos[clip], indices(clip, seed)), size)

    def demuxed(clip: int, seed: int) -> object:
        wanted = indices(clip, seed)
        found = _selective(store.ours[clip], set(wanted))
        assert found is not None
        return transforms.centre_clip([found[k] for k in wanted], size)

    return {
        "ours: aligned H.264, own tables (cpd)": ours(store.ours),
        "ours, through the demuxer": demuxed,
        "ours, PyAV seek": plain(obvious.decode_by_seek, store.ours),
        "default H.264, our reader": ours(store.default),
        "default H.264, PyAV seek": plain(obvious.decode_by_seek, store.default),
        "default H.264, from the start": plain(obvious.decode_from_start, store.default),
        "default H.264, decode all": plain(obvious.decode_all, store.default),
        "a JPEG a frame": lambda clip, seed: obvious.crop(
            obvious.decode_jpegs(store.jpegs[clip], indices(clip, seed)), share=0.5, size=size
        ),
    }


def augmenters(store: Store, *, views: Views) -> Jobs:
    """The same on frames that are decoded already."""
    wanted = [train_indices(n, views, np.random.default_rng(0)) for n in store.frames]
    planes = [decode_frames(video, which) for video, which in zip(store.ours, wanted, strict=True)]
    pictures = [[frame.to_ndarray(format="rgb24") for frame in frames] for frames in planes]

    def plainly(clip: int, seed: int) -> object:
        rng = np.random.default_rng(seed)
        return obvious.augment(pictures[clip], size=views.size, scales=views.scales, jitter=views.jitter, rng=rng)

    return {
        "planes, one colour matrix (cpd)": lambda c, seed: transforms.train_clip(
            planes[c], views, np.random.default_rng(seed)
        ),
        "float tensor, step by step": plainly,
    }


def loaders(store: Store, *, views: Views) -> dict[str, Callable[[int], object]]:
    """Name -> seed -> one pass over all clips, from the tar to batches of 8."""
    table = SampleTable.open(store.folder / "results", [("bench", "train")])

    def ours(seed: int) -> object:
        order = np.random.default_rng(seed).permutation(len(table)).tolist()
        batches = [order[first : first + 8] for first in range(0, len(order), 8)]
        return list(clip_loader(table, views=views, batches=batches, seed=seed, epoch=0, workers=0, train=True))

    def stream(path: Path, decode: Callable[[dict[str, bytes], list[int]], obvious.Frames]) -> Callable[[int], object]:
        def run(seed: int) -> object:
            rng = np.random.default_rng(seed)

            def one(sample: dict[str, bytes]) -> object:
                wanted = train_indices(json.loads(sample["json"])["frames"], views, rng)
                frames = decode(sample, wanted)
                return obvious.augment(frames, size=views.size, scales=views.scales, jitter=views.jitter, rng=rng)

            data = webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False)
            return list(data.shuffle(100).map(one).batched(8, collation_fn=torch.stack))

        return run

    return {
        "ours (cpd)": ours,
        "webdataset, default H.264, decode all": stream(
            store.tars["default"], lambda sample, wanted: obvious.decode_all(sample["mp4"], wanted)
        ),
        "webdataset, default H.264, from the start": stream(
            store.tars["default"], lambda sample, wanted: obvious.decode_from_start(sample["mp4"], wanted)
        ),
        "webdataset, a JPEG a frame": stream(
            store.tars["jpegs"],
            lambda sample, wanted: obvious.decode_jpegs(
                [sample[f"{k:04d}.jpg"] for k in wanted], list(range(len(wanted)))
            ),
        ),
    }


def cpu_ms(job: Callable[[], object], clips: int) -> float:
    start = time.process_time()
    job()
    return 1000 * (time.process_time() - start) / clips


def interleaved(jobs: dict[str, Callable[[int], object]], *, clips: int, rounds: int) -> dict[str, list[float]]:
    """CPU milliseconds a clip of each job, a value a round; the first round is not counted."""
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, job in jobs.items():
            ms = cpu_ms(lambda job=job, number=number: job(number), clips)  # type: ignore[misc]
            if number:
                found[name].append(ms)
    return found


def over_clips(jobs: Jobs, clips: int) -> dict[str, Callable[[int], object]]:
    """Each job over all clips; a clip's seed changes with the round."""

    def all_of(job: Callable[[int, int], object]) -> Callable[[int], object]:
        return lambda number: [job(clip, 1000 * number + clip) for clip in range(clips)] and None

    return {name: all_of(job) for name, job in jobs.items()}


def show(title: str, found: dict[str, list[float]], sizes: dict[str, float] | None = None) -> None:
    """A table; ratios are to the first row, medians over rounds of the ratio within a round."""
    first = next(iter(found.values()))
    print(f"\n{title}\n\n| way | CPU ms a clip: median | min | max | clips/s per core | slower than ours | KB a clip |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, values in found.items():
        median, ratio = statistics.median(values), statistics.median(v / f for v, f in zip(values, first, strict=True))
        size = f"{sizes[name]:.0f}" if sizes else ""
        row = f"{median:.2f} | {min(values):.2f} | {max(values):.2f} | {1000 / median:.0f} | {ratio:.1f} x | {size}"
        print(f"| {name} | {row} |")


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, nargs="+", help="videos of some seconds to measure on")
    parser.add_argument("--short-side", type=int, default=256, help="of the stored clips, pixels")
    parser.add_argument("--size", type=int, default=112, help="of the crops, pixels")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    views = Views(frames=8, stride=4, size=args.size)
    with tempfile.TemporaryDirectory() as folder:
        videos = args.videos or [made_up_video(Path(folder) / f"{k}.mp4", seed=k) for k in range(4)]
        store = Store.build(Path(folder), videos, Clips(short_side=args.short_side))
        n = len(store.frames)
        print(f"{n} clips, mean {np.mean(store.frames):.0f} frames, short side {args.short_side}, crops {args.size}")
        print("luma PSNR, dB: " + ", ".join(f"{name} {value:.1f}" for name, value in store.quality().items()))
        jobs = readers(store, size=args.size, views=views)
        sizes = {name: store.kilobytes(name) for name in jobs}
        show("Bytes to pixels", interleaved(over_clips(jobs, n), clips=n, rounds=args.rounds), sizes)
        show("Shard to batches", interleaved(loaders(store, views=views), clips=n, rounds=args.rounds))
        jobs = augmenters(store, views=views)
        show("Augmentation", interleaved(over_clips(jobs, n), clips=n, rounds=args.rounds))


if __name__ == "__main__":
    main()

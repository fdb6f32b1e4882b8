"""Augmentation of frames that are decoded already, and colour jitter alone: 8 frames of 112 pixels, one core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import obvious_clips as obvious
from benchmarks import peers
from benchmarks.clip_store import OURS, sources, store
from benchmarks.harness import Options, Way, gain, measure, median, ratios, row
from benchmarks.record import Findings
from cpd.config import Views
from cpd.shards.loader import keep_freed_memory
from cpd.video import transforms
from cpd.video.decode import decode_frames
from cpd.video.sample import train_indices

TITLE = "Augmentation: one matrix for everything about colour"
CALL, COPY = "that call of opencv alone", "the same bytes copied"
MATRIX, STEPS, ALL = "one 3x4 matrix", "step by step on uint8 pictures", "planes, one matrix"
FLOATS = "whole float pictures, step by step"
TORCHVISION = "torchvision v2 ColorJitter"
JITTER = "colour jitter, one matrix"
VIEWS = Views()


def run(options: Options) -> Findings:
    """Jitter alone, and all of it."""
    clip = store(sources(options)[0], options.work)
    repeats = 2 if options.quick else 40
    seeded = np.random.default_rng(0)
    frames = decode_frames(clip.videos[OURS], train_indices(clip.frames, VIEWS, seeded))
    pictures = [frame.to_ndarray(format="rgb24") for frame in frames]
    plain_THWC = transforms.train_clip(frames, Views(jitter=0), np.random.default_rng(0))
    keep_freed_memory()  # as in the loader's processes, whatever the way
    jitter = measure(
        "Colour jitter alone: brightness, contrast, saturation",
        [
            Way(name=MATRIX, side="ours", run=_repeat(_matrix(plain_THWC), repeats)),
            Way(name=STEPS, side="obvious", run=_repeat(_steps(plain_THWC), repeats)),
            _torchvision(plain_THWC, repeats),
            Way(name=CALL, side="limit", run=_repeat(_one_call(plain_THWC), repeats)),
            Way(name=COPY, side="limit", run=_repeat(_copy(plain_THWC), repeats)),
        ],
        rounds=options.rounds(7),
        work=repeats,
        note="Ours begins with planes, and includes their step from Y'CbCr to RGB, which is the same matrix.",
    )
    everything = measure(
        "Crop, resize, flip, jitter",
        [
            Way(name=ALL, side="ours", run=_repeat(lambda rng: transforms.train_clip(frames, VIEWS, rng), repeats)),
            Way(name=FLOATS, side="obvious", run=_repeat(_floats(pictures), repeats)),
        ],
        rounds=options.rounds(5),
        work=repeats,
        note="The obvious way begins with RGB pictures: to make them is not counted.",
    )
    against = "torchvision's steps, written plainly"
    peer = row(jitter, TORCHVISION).values
    most = f"that call alone: {median(ratios(jitter, TORCHVISION, CALL)):.1f} x" if peer else ""
    return Findings(
        title=TITLE,
        about=f"8 frames, {VIEWS.size} pixels, factors from 1 +- {VIEWS.jitter}",
        tables=(jitter, everything),
        targets=(
            gain(jitter, what=JITTER, against=against, ours=MATRIX, other=STEPS, at_least=20),
            gain(jitter, what=JITTER, against=TORCHVISION, ours=MATRIX, other=TORCHVISION, at_least=1, note=most),
        ),
    )


def _repeat(job: Callable[[np.random.Generator], object], times: int) -> Callable[[int], object]:
    def run(number: int) -> None:
        rng = np.random.default_rng(number)
        for _ in range(times):
            job(rng)

    return run


def _matrix(clip_THWC: NDArray[np.uint8]) -> Callable[[np.random.Generator], object]:
    yuv_TPHW = np.ascontiguousarray(clip_THWC.transpose(0, 3, 1, 2))

    def job(rng: np.random.Generator) -> object:
        factors = rng.uniform(1 - VIEWS.jitter, 1 + VIEWS.jitter, 3)
        rgb_THWC = np.empty_like(clip_THWC)
        jitter = transforms._jitter(factors, transforms._mean_luma(yuv_TPHW))
        transforms._recolour(yuv_TPHW, jitter @ transforms._TO_RGB, rgb_THWC)
        return rgb_THWC

    return job


def _one_call(clip_THWC: NDArray[np.uint8]) -> Callable[[np.random.Generator], object]:
    """The matrix known, the planes interleaved, the place there."""
    rows, matrix = clip_THWC.reshape(-1, *clip_THWC.shape[2:]), transforms._TO_RGB[:3]
    out = np.empty_like(rows)
    return lambda rng: cv2.transform(rows, matrix, out)


def _copy(clip_THWC: NDArray[np.uint8]) -> Callable[[np.random.Generator], object]:
    out = np.empty_like(clip_THWC)
    return lambda rng: np.copyto(out, clip_THWC)


def _steps(clip_THWC: NDArray[np.uint8]) -> Callable[[np.random.Generator], object]:
    return lambda rng: obvious.jitter(clip_THWC, rng.uniform(1 - VIEWS.jitter, 1 + VIEWS.jitter, 3))


def _torchvision(clip_THWC: NDArray[np.uint8], repeats: int) -> Way:
    module: Any = peers.load("torchvision.transforms.v2")
    if isinstance(module, str):
        return Way(name=TORCHVISION, side="peer", absent=module)
    jitter = module.ColorJitter(VIEWS.jitter, VIEWS.jitter, VIEWS.jitter)
    x_TCHW = torch.from_numpy(clip_THWC).permute(0, 3, 1, 2).contiguous()
    return Way(name=TORCHVISION, side="peer", run=_repeat(lambda rng: jitter(x_TCHW), repeats))


def _floats(pictures: obvious.Frames) -> Callable[[np.random.Generator], object]:
    return lambda rng: obvious.augment(pictures, size=VIEWS.size, scales=VIEWS.scales, jitter=VIEWS.jitter, rng=rng)

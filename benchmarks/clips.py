"""From the bytes of a stored video to the pixels of a random clip, and to all of its test views; one core.

Every way ends in 8 frames, 4 apart, from a random start: a random square, resized, at times flipped. The obvious one is
the authors' code on a file as ffmpeg encodes it by default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import av
import numpy as np

from benchmarks import clip_peers
from benchmarks import obvious_clips as obvious
from benchmarks.clip_peers import Decode
from benchmarks.clip_store import CRF, DEFAULT, GOP12, JPEG, OURS, OURS_SMALL, SIDE, SMALL_SIDE, Stored, sources, store
from benchmarks.harness import Options, Way, gain, measure, median, ratios, row
from benchmarks.record import Findings, Table, Target
from cpd.config import FeatureViews, Views
from cpd.shards.loader import keep_freed_memory
from cpd.video import decode, transforms
from cpd.video.sample import test_indices, train_indices
from cpd.video.views import all_views

TITLE = "Clips: from stored bytes to pixels"
SHORT = {112: (128, 170), 224: (256, 340)}  # the authors' range of short sides before the crop
OFFICIAL = "the authors' way, ffmpeg's default"
PYAV = "PyAV seek, key frame every 12"
ONE_PASS, TEN_DECODES = "one pass", "ten decodes, the authors' way"
SMALL_CLIP = "random clip, 176 store -> 112"
ALONE = "the decoder alone"
SIDES = {OURS: SIDE, OURS_SMALL: SMALL_SIDE}
LIMIT = (
    f"{ALONE[0].upper()}{ALONE[1:]}: libavcodec on the packets that ours decodes, found beforehand, "
    "in decoders that are used again."
)
SHORT_WAY, MIDDLE_WAY = 8, 3  # times over the clips in a round, so that all ways work about as long
OFTEN = f"In a round short ways read {SHORT_WAY} or {MIDDLE_WAY} random clips of each video, long ones one."
MEMORY = "Blocks that are freed stay with the process, as in the loader's processes, whatever the way."
TEST = FeatureViews()
PLANS = 12

Wanted = Callable[[Stored, np.random.Generator], list[int]]
Job = Callable[[Stored, np.random.Generator], object]


def run(options: Options) -> Findings:
    """Random clips at 112 and 224, and test views."""
    keep_freed_memory()
    clips = [store(video, options.work) for video in sources(options)]
    rounds = options.rounds(7)
    random_112 = measure("A random clip of 112 pixels", _readers(clips, 112), rounds=rounds, work=len(clips))
    random_224 = measure("A random clip of 224 pixels", _readers(clips, 224), rounds=rounds, work=len(clips))
    views = measure(
        f"All {TEST.clips} test clips of a video, {TEST.size} pixels",
        _test_ways(clips),
        rounds=options.rounds(4),
        unit="CPU ms a video",
        work=len(clips),
    )
    kinds = "real videos" if not options.quick and options.real_clips(["panda70m/0idSKtn42WY.2.mp4"]) else "textures"
    psnr = {name: float(np.mean([clip.psnr[name] for clip in clips])) for name in clips[0].psnr}
    quality = "luma PSNR at 256: " + ", ".join(f"{name} {value:.1f} dB" for name, value in psnr.items())
    return Findings(
        title=TITLE,
        about=f"{len(clips)} {kinds}, mean {np.mean([c.frames for c in clips]):.0f} frames",
        tables=(random_112, random_224, views),
        targets=tuple(_speeds(random_112, random_224, views) + _sizes(clips)),
        notes=(f"{quality} (crf {CRF} throughout).", f"{LIMIT} {MEMORY} {OFTEN}"),
    )


def _readers(clips: list[Stored], size: int) -> list[Way]:
    views = Views(size=size, jitter=0)
    names = {OURS: "ours, 256 store", OURS_SMALL: "ours, 176 store"}
    kept = (OURS, OURS_SMALL) if size < 128 else (OURS,)

    ours = [_way(names[name], "ours", _ours(name, views), clips, name, times=SHORT_WAY) for name in kept]
    official = _way(OFFICIAL, "obvious", _official(views), clips, DEFAULT)
    limits = [limit(clips, name, random_frames(views), times=SHORT_WAY) for name in kept]
    if size != 112:
        return [*ours, *limits, official]
    return [
        *ours,
        _way("ours, through the demuxer", "other", _demuxed(views), clips, OURS, times=SHORT_WAY),
        _way("ours, reading ffmpeg's default", "other", _ours(DEFAULT, views), clips, DEFAULT),
        *limits,
        official,
        _way("decode all, ffmpeg's default", "obvious", _plain(obvious.decode_all, DEFAULT, views), clips, DEFAULT),
        _way("PyAV seek, ffmpeg's default", "obvious", _plain(obvious.decode_by_seek, DEFAULT, views), clips, DEFAULT),
        _way(PYAV, "obvious", _plain(obvious.decode_by_seek, GOP12, views), clips, GOP12, times=MIDDLE_WAY),
        *_peer_ways(clips, views),
        _way(JPEG, "other", _jpegs(views), clips, JPEG, times=SHORT_WAY),
    ]


def _way(name: str, side: str, job: Job | str, clips: list[Stored], encoding: str, *, times: int = 1) -> Way:
    """The job over all clips, `times` times; a clip's seed changes with the round."""
    sizes = [sum(map(len, c.jpegs)) if encoding == JPEG else len(c.videos[encoding]) for c in clips]
    columns = {"KB a clip": float(np.mean(sizes)) / 1000}
    if isinstance(job, str):
        return Way(name=name, side=side, absent=job, columns=columns)  # type: ignore[arg-type]

    def run(number: int) -> None:
        for again, (k, clip) in product(range(times), enumerate(clips)):
            job(clip, np.random.default_rng([number, k, again]))

    return Way(name=name, side=side, run=run, columns=columns, times=times)  # type: ignore[arg-type]


def _ours(encoding: str, views: Views) -> Job:
    def job(clip: Stored, rng: np.random.Generator) -> object:
        wanted = train_indices(clip.frames, views, rng)
        return transforms.train_clip(decode.decode_frames(_known(clip, encoding), wanted), views, rng)

    return job


def _known(clip: Stored, encoding: str) -> bytes | decode.Verified:
    """Our own clips come out of the loader with their digest checked."""
    video = clip.videos[encoding]
    return decode.Verified(video) if encoding in (OURS, OURS_SMALL) else video


def _demuxed(views: Views) -> Job:
    def job(clip: Stored, rng: np.random.Generator) -> object:
        wanted = train_indices(clip.frames, views, rng)
        found: dict[int, av.VideoFrame] = {}
        assert decode._selective(clip.videos[OURS], set(wanted), found.__setitem__)
        return transforms.train_clip([found[k] for k in wanted], views, rng)

    return job


def limit(clips: list[Stored], encoding: str, wanted: Wanted, *, times: int = 1) -> Way:
    """The packets that ours decodes, found beforehand; decoders are used again, as ours are."""
    plans = []
    for k, clip in enumerate(clips):
        sets = [wanted(clip, np.random.default_rng([n, k])) for n in range(PLANS)]
        plans.append([decode.plan(clip.videos[encoding], set(indices)) for indices in sets])
    decoders = decode.Decoders()

    def run(number: int) -> None:
        for again, of_clip in product(range(times), plans):
            planned = of_clip[(number * times + again) % PLANS]
            assert planned is not None, "our own clips have tables of a known form"
            context = decoders.pop(planned.track) or planned.context()
            list(decode._decode_packets(context, planned.packets))
            decoders.keep(planned.track, context)

    return Way(name=f"{ALONE}, {SIDES[encoding]} store", side="limit", run=run, times=times)


def random_frames(views: Views) -> Wanted:
    """Frames of a random clip."""
    return lambda clip, rng: train_indices(clip.frames, views, rng)


def _official(views: Views) -> Job:
    def job(clip: Stored, rng: np.random.Generator) -> object:
        start = train_indices(clip.frames, views, rng)[0]
        size, short = views.size, SHORT[views.size]
        options = {"frames": views.frames, "stride": views.stride, "size": size, "short": short, "rng": rng}
        return obvious.read_official(clip.videos[DEFAULT], start, **options)  # type: ignore[arg-type]

    return job


def _plain(read: Decode, encoding: str, views: Views) -> Job:
    """Whole pictures in RGB, then a random square of them."""

    def job(clip: Stored, rng: np.random.Generator) -> object:
        pictures = read(clip.videos[encoding], train_indices(clip.frames, views, rng))
        return obvious.random_square(pictures, scales=views.scales, size=views.size, rng=rng)

    return job


def _jpegs(views: Views) -> Job:
    def job(clip: Stored, rng: np.random.Generator) -> object:
        pictures = obvious.decode_jpegs(clip.jpegs, train_indices(clip.frames, views, rng))
        return obvious.random_square(pictures, scales=views.scales, size=views.size, rng=rng)

    return job


def _peer_ways(clips: list[Stored], views: Views) -> list[Way]:
    """Other readers on the file with a key frame every 12."""
    return [
        _way(f"{name}, key frame every 12", "peer", _peer(read, views), clips, GOP12, times=MIDDLE_WAY)
        for name, read in clip_peers.readers().items()
    ]


def _peer(read: Decode | str, views: Views) -> Job | str:
    return read if isinstance(read, str) else _plain(read, GOP12, views)


def _test_ways(clips: list[Stored]) -> list[Way]:
    def one_pass(encoding: str) -> Job:
        return lambda clip, rng: all_views(_known(clip, encoding), clip.frames, TEST)

    def ten(read: Callable[[Stored, list[int]], object]) -> Job:
        return lambda clip, rng: [read(clip, indices) for indices in _test_clips(clip)]

    def official(clip: Stored, wanted: list[int]) -> object:
        options = {"frames": TEST.frames, "stride": TEST.stride, "size": TEST.size, "short": (TEST.size, TEST.size)}
        return obvious.read_official(clip.videos[DEFAULT], wanted[0], **options, rng=None)  # type: ignore[arg-type]

    def seek(clip: Stored, wanted: list[int]) -> object:
        return obvious.crop(obvious.decode_by_seek(clip.videos[DEFAULT], wanted), share=0.5, size=TEST.size)

    return [
        _way(f"{ONE_PASS}, 256 store", "ours", one_pass(OURS), clips, OURS),
        _way(f"{ONE_PASS}, 176 store", "ours", one_pass(OURS_SMALL), clips, OURS_SMALL),
        _way(f"{ONE_PASS}, ffmpeg's default", "other", one_pass(DEFAULT), clips, DEFAULT),
        limit(clips, OURS, _all_test_frames),
        limit(clips, OURS_SMALL, _all_test_frames),
        _way(TEN_DECODES, "obvious", ten(official), clips, DEFAULT),
        _way("ten decodes, PyAV seek", "obvious", ten(seek), clips, DEFAULT),
    ]


def _test_clips(clip: Stored) -> list[list[int]]:
    return test_indices(clip.frames, TEST.clips, TEST.frames, TEST.stride)


def _all_test_frames(clip: Stored, rng: np.random.Generator) -> list[int]:
    return sorted({index for indices in _test_clips(clip) for index in indices})


def beside(table: Table, slow: str, side: int) -> str:
    """What is left to win at most: how many times the decoder's cost alone `slow` has."""
    if not row(table, slow).values:
        return ""
    return f"{ALONE}: {median(ratios(table, slow, f'{ALONE}, {side} store')):.1f} x"


def _speeds(random_112: Table, random_224: Table, views: Table) -> list[Target]:
    clip = f"random clip, {SIDE} store"
    ahead = dict.fromkeys((r.name for r in random_112.rows if r.side == "peer"), 1.0)

    def target(table: Table, what: str, other: str, at_least: float, *, ours: str = "ours", side: int = SIDE) -> Target:
        reached = {"ours": f"{ours}, {side} store", "other": other, "at_least": at_least}
        return gain(table, what=what, against=other, note=beside(table, other, side), **reached)  # type: ignore[arg-type]

    return [
        target(random_112, f"{clip} -> 112", OFFICIAL, 14),
        target(random_224, f"{clip} -> 224", OFFICIAL, 14),
        target(random_112, SMALL_CLIP, OFFICIAL, 28, side=SMALL_SIDE),
        *(target(random_112, f"{clip} -> 112", name, least) for name, least in ({PYAV: 3.5} | ahead).items()),
        target(views, f"test views, {SIDE} store", TEN_DECODES, 28, ours=ONE_PASS),
    ]


def _sizes(clips: list[Stored]) -> list[Target]:
    """Bytes a clip, as a share of ffmpeg's default: one value a clip."""
    size = {name: [len(c.videos[name]) for c in clips] for name in (OURS, OURS_SMALL, DEFAULT)}
    same_quality = [len(c.videos[OURS]) / c.bytes_at for c in clips]
    plain = f"ffmpeg's default, crf {CRF}, 256"

    def share(what: str, against: str, values: Sequence[float], at_most: float) -> Target:
        return Target(what=what, against=against, values=tuple(values), at_most=at_most, note="one value a clip")

    return [
        share("bytes of a clip, 256 store", plain, _shares(size[OURS], size[DEFAULT]), 1.2),
        share("bytes of a clip, 256 store", "ffmpeg's default at the same PSNR", same_quality, 1.2),
        share("bytes of a clip, 176 store", plain, _shares(size[OURS_SMALL], size[DEFAULT]), 0.65),
    ]


def _shares(some: list[int], others: list[int]) -> list[float]:
    return [a / b for a, b in zip(some, others, strict=True)]

"""Where the pictures of a stored clip lie: the sample tables of an MP4 with one H.264 track (ISO/IEC 14496-12).

A demuxer opens a file by decoding its first pictures, and hands every packet to Python: for the few pictures of a
training clip that is most of the work. This reads the same facts from the tables of the clips that `cut` writes. Any
file of another form is left to the demuxer: nothing is guessed, and nothing is an error here.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

Boxes = dict[bytes, memoryview]
_VIDEO_ENTRY = 78  # bytes of a VisualSampleEntry before its boxes
_HEAD, _COUNT = struct.Struct(">I4s"), struct.Struct(">I")
_U32, _I32, _U64 = np.dtype(">u4"), np.dtype(">i4"), np.dtype(">u8")
_FORBIDDEN = (b"moof", b"sidx")  # fragments: the tables are elsewhere
_KNOWN = {b"avcC", b"btrt", b"pasp", b"colr"}


@dataclass(frozen=True)
class Colours:
    """`colr`: what the file says about colours where the stream is silent (ITU-T H.273 code points)."""

    primaries: int
    transfer: int
    matrix: int
    full_range: bool


@dataclass(frozen=True)
class Track:
    """The pictures of a clip in decoding order.

    Attributes:
        header: the decoder's configuration record (avcC).
        colours: of the file, if it says.
        offset_N, size_N: byte range of every picture.
        pts_N: presentation time of every picture, all different.
        order_N: their positions in the order of presentation.
        sync: positions at which decoding may begin.
    """

    header: bytes
    colours: Colours | None
    offset_N: Ints
    size_N: Ints
    pts_N: Ints
    order_N: Ints
    sync: Ints


def read_track(video: bytes) -> Track | None:
    """The one video track of an MP4 whose every picture is shown; None for any other file."""
    try:
        return _track(memoryview(video))
    except (struct.error, ValueError, IndexError, KeyError, OverflowError):
        return None  # damaged, or of a form that is not ours: the demuxer will say


def _track(video: memoryview) -> Track | None:
    top = list(_walk(video))
    moov = list(_walk(dict(top)[b"moov"]))
    tracks = [body for kind, body in moov if kind == b"trak"]
    if len(tracks) != 1 or any(kind in _FORBIDDEN for kind, _ in top):
        return None
    trak = dict(_walk(tracks[0]))
    mdia = dict(_walk(trak[b"mdia"]))
    stbl = dict(_walk(dict(_walk(mdia[b"minf"]))[b"stbl"]))
    entry = _entry(bytes(stbl[b"stsd"]))
    if entry is None:
        return None
    size_N = _sizes(stbl[b"stsz"])
    offset_N = _offsets(stbl, size_N)
    if not len(size_N) or offset_N.min() < 0 or size_N.min() <= 0 or (offset_N + size_N).max() > len(video):
        return None
    ctts, stss = (bytes(stbl[kind]) if kind in stbl else None for kind in (b"ctts", b"stss"))
    times = _times(len(size_N), bytes(stbl[b"stts"]), ctts, stss)
    if not _shows_all(trak, dict(moov), mdia, first=times.first, total=times.total):
        return None
    return Track(*entry, offset_N, size_N, times.pts_N, times.order_N, times.sync)


def _walk(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """(type, content) of the boxes in `data`."""
    position = 0
    while position < len(data):
        size, kind = _HEAD.unpack_from(data, position)
        start = position + 8
        if size == 1:  # a size that does not fit into 32 bits
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        if size < start - position or position + size > len(data):
            raise ValueError("a box leaves its parent")
        yield kind, data[start : position + size]
        position += size


@functools.lru_cache(maxsize=64)
def _entry(stsd: bytes) -> tuple[bytes, Colours | None] | None:
    """The sample entry: the decoder's header, and the colours. It is the same in all clips of one size."""
    entries = list(_walk(memoryview(stsd)[8:]))
    if len(entries) != 1 or entries[0][0] != b"avc1":
        return None
    boxes = dict(_walk(entries[0][1][_VIDEO_ENTRY:]))
    if not boxes.keys() <= _KNOWN:
        return None
    return bytes(boxes[b"avcC"]), _colours(boxes[b"colr"]) if b"colr" in boxes else None


def _colours(colr: memoryview) -> Colours:
    kind, primaries, transfer, matrix, flags = struct.unpack(">4sHHHB", colr)
    if kind != b"nclx":
        raise ValueError("colours by a profile")
    return Colours(primaries, transfer, matrix, bool(flags & 0x80))


def _integers(box: memoryview | bytes, start: int, kind: np.dtype[Any]) -> Ints:
    """The entries of a table as long as its count says."""
    (count,) = _COUNT.unpack_from(box, start - 4)
    if start + count * kind.itemsize != len(box):
        raise ValueError("a table is not as long as it says")
    return np.frombuffer(box, kind, count, start).astype(np.int64)


def _pairs(box: bytes, kind: np.dtype[Any]) -> tuple[Ints, Ints]:
    """Runs: how many, and of what."""
    (count,) = _COUNT.unpack_from(box, 4)
    if 8 + 8 * count != len(box):
        raise ValueError("a table is not as long as it says")
    table = np.frombuffer(box, kind, 2 * count, 8).astype(np.int64)
    return table[::2], table[1::2]


def _sizes(stsz: memoryview) -> Ints:
    (same,) = _COUNT.unpack_from(stsz, 4)
    if same:
        raise ValueError("pictures are not of one size")
    return _integers(stsz, 12, _U32)


def _offsets(stbl: Boxes, size_N: Ints) -> Ints:
    """Chunks hold runs of samples, one behind the other; our clips have one chunk."""
    chunk_C = _integers(stbl[b"stco"], 8, _U32) if b"stco" in stbl else _integers(stbl[b"co64"], 8, _U64)
    per_chunk_C = _per_chunk(bytes(stbl[b"stsc"]), len(chunk_C))
    if per_chunk_C.sum() != len(size_N):
        raise ValueError("chunks and samples do not add up")
    behind_N: Ints = size_N.cumsum() - size_N
    if len(chunk_C) == 1:
        return chunk_C + behind_N
    first_C = per_chunk_C.cumsum() - per_chunk_C
    offset_N: Ints = (chunk_C - behind_N[first_C]).repeat(per_chunk_C) + behind_N
    return offset_N


@functools.lru_cache(maxsize=64)
def _per_chunk(stsc: bytes, chunks: int) -> Ints:
    """How many samples each chunk holds."""
    (count,) = _COUNT.unpack_from(stsc, 4)
    runs = np.frombuffer(stsc, _U32, 3 * count, 8).astype(np.int64).reshape(-1, 3)
    bound = np.array([*(runs[:, 0] - 1), chunks])
    if bound[0] != 0 or (runs[:, 2] != 1).any():
        raise ValueError("chunks are missing, or are of another track")
    return runs[:, 1].repeat(bound[1:] - bound[:-1])


class _Times(NamedTuple):
    """When pictures are shown: as in `Track`; the first time of all, and the duration of all."""

    pts_N: Ints
    order_N: Ints
    sync: Ints
    first: int
    total: int


@functools.lru_cache(maxsize=512)
def _times(n: int, stts: bytes, ctts: bytes | None, stss: bytes | None) -> _Times:
    """The times of n pictures: they are the same in all clips of one length and frame rate.

    Raises:
        ValueError: the tables are not of n pictures, or two are shown at once.
    """
    counts, deltas = _pairs(stts, _U32)
    if counts.sum() != n or deltas.max() >= 1 << 31:
        raise ValueError("times and samples do not add up")
    delta_N = deltas.repeat(counts)
    end_N = delta_N.cumsum()
    pts_N = end_N - delta_N + (0 if ctts is None else _shifts(ctts, n))
    order_N = pts_N.argsort()
    shown_N = pts_N[order_N]
    if (shown_N[1:] == shown_N[:-1]).any():
        raise ValueError("two pictures at one time")
    sync = np.arange(n) if stss is None else _integers(stss, 8, _U32) - 1
    for shared in (pts_N, order_N, sync):
        shared.flags.writeable = False
    return _Times(pts_N, order_N, sync, int(shown_N[0]), int(end_N[-1]))


def _shifts(ctts: bytes, n: int) -> Ints:
    counts, shifts = _pairs(ctts, _I32)
    if counts.sum() != n:
        raise ValueError("times and samples do not add up")
    return shifts.repeat(counts)


def _shows_all(trak: Boxes, moov: Boxes, mdia: Boxes, *, first: int, total: int) -> bool:
    """Whether the edit list, if there is one, begins with the first picture and leaves none out."""
    if b"edts" not in trak:
        return first == 0
    elst = dict(_walk(trak[b"edts"]))[b"elst"]
    if len(elst) != 20 or struct.unpack_from(">II", elst, 0) != (0, 1):  # version 0, one edit
        return False
    duration, begin, rate = struct.unpack_from(">Iii", elst, 8)
    movie_scale, media_scale = _scale(moov[b"mvhd"]), _scale(mdia[b"mdhd"])
    covers = duration * media_scale >= (total - 1) * movie_scale - media_scale
    return bool(rate == 1 << 16 and begin == first and covers)


def _scale(header: memoryview) -> int:
    """Ticks per second of mvhd or mdhd."""
    (scale,) = struct.unpack_from(">I", header, 20 if header[0] == 1 else 12)
    return int(scale)

"""Where the pictures of a stored clip lie: the sample tables of an MP4 with one H.264 track (ISO/IEC 14496-12).

A demuxer opens a file by decoding its first pictures, and hands every packet to Python: for the few pictures of a
training clip that is most of the work. This reads the same facts from the tables of the clips that `cut` writes. Any
file of another form is left to the demuxer: nothing is guessed, and nothing is an error here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

Boxes = dict[bytes, memoryview]
_VIDEO_ENTRY = 78  # bytes of a VisualSampleEntry before its boxes
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
        sync: positions at which decoding may begin.
    """

    header: bytes
    colours: Colours | None
    offset_N: Ints
    size_N: Ints
    pts_N: Ints
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
    entry = _entry(stbl[b"stsd"])
    if entry is None:
        return None
    size_N = _sizes(stbl[b"stsz"])
    offset_N = _offsets(stbl, size_N)
    dts_N, total = _times(stbl[b"stts"], len(size_N))
    pts_N = dts_N + (_shifts(stbl[b"ctts"], len(size_N)) if b"ctts" in stbl else 0)
    sync = _integers(stbl[b"stss"], 8, ">u4") - 1 if b"stss" in stbl else np.arange(len(size_N))
    in_file = bool((offset_N >= 0).all() and (size_N > 0).all() and (offset_N + size_N <= len(video)).all())
    if not len(size_N) or not in_file or len(np.unique(pts_N)) < len(pts_N):
        return None
    if not _shows_all(trak, dict(moov), mdia, first=int(pts_N.min()), total=total):
        return None
    return Track(*entry, offset_N, size_N, pts_N, sync)


def _walk(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """(type, content) of the boxes in `data`."""
    position = 0
    while position < len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        if size < start - position or position + size > len(data):
            raise ValueError("a box leaves its parent")
        yield kind, data[start : position + size]
        position += size


def _entry(stsd: memoryview) -> tuple[bytes, Colours | None] | None:
    """The sample entry: the decoder's header, and the colours."""
    entries = list(_walk(stsd[8:]))
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


def _integers(box: memoryview, start: int, kind: str) -> Ints:
    """The entries of a table as long as its count says."""
    (count,) = struct.unpack_from(">I", box, start - 4)
    width = np.dtype(kind).itemsize
    if start + count * width != len(box):
        raise ValueError("a table is not as long as it says")
    return np.frombuffer(box, kind, count, start).astype(np.int64)


def _pairs(box: memoryview, count_kind: str = ">u4") -> tuple[Ints, Ints]:
    (count,) = struct.unpack_from(">I", box, 4)
    if 8 + 8 * count != len(box):
        raise ValueError("a table is not as long as it says")
    table = np.frombuffer(box, np.dtype([("n", ">u4"), ("value", count_kind)]), count, 8)
    return table["n"].astype(np.int64), table["value"].astype(np.int64)


def _sizes(stsz: memoryview) -> Ints:
    (same,) = struct.unpack_from(">I", stsz, 4)
    if same:
        raise ValueError("pictures are not of one size")
    return _integers(stsz, 12, ">u4")


def _offsets(stbl: Boxes, size_N: Ints) -> Ints:
    """Chunks hold runs of samples, one behind the other."""
    chunk_C = _integers(stbl[b"stco"], 8, ">u4") if b"stco" in stbl else _integers(stbl[b"co64"], 8, ">u8")
    (count,) = struct.unpack_from(">I", stbl[b"stsc"], 4)
    runs = np.frombuffer(stbl[b"stsc"], ">u4", 3 * count, 8).astype(np.int64).reshape(-1, 3)
    first = np.append(runs[:, 0] - 1, len(chunk_C))
    per_chunk_C = np.repeat(runs[:, 1], np.diff(first))
    if first[0] != 0 or per_chunk_C.sum() != len(size_N) or (runs[:, 2] != 1).any():
        raise ValueError("chunks and samples do not add up")
    behind_N = np.cumsum(size_N) - size_N
    first_C = np.cumsum(per_chunk_C) - per_chunk_C
    offset_N: Ints = np.repeat(chunk_C - behind_N[first_C], per_chunk_C) + behind_N
    return offset_N


def _times(stts: memoryview, n: int) -> tuple[Ints, int]:
    """Decoding times, and the duration of all."""
    counts, deltas = _pairs(stts)
    if counts.sum() != n or (deltas >= 1 << 31).any():
        raise ValueError("times and samples do not add up")
    delta_N = np.repeat(deltas, counts)
    end_N = np.cumsum(delta_N)
    return end_N - delta_N, int(end_N[-1])


def _shifts(ctts: memoryview, n: int) -> Ints:
    counts, shifts = _pairs(ctts, ">i4")
    if counts.sum() != n:
        raise ValueError("times and samples do not add up")
    return np.repeat(shifts, counts)


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

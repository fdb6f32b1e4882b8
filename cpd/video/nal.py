"""What the packets of an H.264 stream say of themselves, and which of them a picture needs (ITU-T H.264, 7.4.1).

Packets hold NAL units behind their lengths (ISO/IEC 14496-15), as in MP4.
"""

from __future__ import annotations

from typing import NamedTuple

_IDR = 5
_SLICES = range(1, 6)


class Picture(NamedTuple):
    """One packet: what its slices say."""

    is_idr: bool
    is_reference: bool


# By the header of a NAL unit: forbidden_zero_bit, nal_ref_idc (2 bits), nal_unit_type (5 bits). None: not of a picture.
_SAID = tuple(
    Picture(header & 31 == _IDR, bool(header & 0x60)) if header & 31 in _SLICES else None for header in range(256)
)
_SILENT = Picture(is_idr=False, is_reference=False)


def is_avc(header: bytes) -> bool:
    """Whether packets hold length-prefixed NAL units (ISO/IEC 14496-15), as in MP4."""
    return len(header) > 6 and header[0] == 1


def nal_length(header: bytes) -> int:
    """Bytes of the length before each NAL unit."""
    return (header[4] & 3) + 1


def read_pictures(video: bytes, begin: list[int], size: list[int], length_size: int) -> list[Picture]:
    """What the pictures in these byte ranges say: mostly their first NAL unit is a slice, whose header is one byte."""
    return [
        (length > length_size and _SAID[video[start + length_size]])
        or read_picture(memoryview(video)[start : start + length], length_size)
        for start, length in zip(begin, size, strict=True)
    ]


def read_picture(data: memoryview, length_size: int) -> Picture:
    """What the first slice says, and thereby all of them (ITU-T H.264, 7.4.1.2.4): IDR or not, reference or not."""
    position = 0
    while position + length_size < len(data):
        said = _SAID[data[position + length_size]]
        if said:
            return said
        position += length_size + int.from_bytes(data[position : position + length_size], "big")
    return _SILENT


def needed_packets(pictures: list[Picture], wanted: set[int]) -> list[int]:
    """Packets to decode, in decoding order: the wanted ones, and references from the IDR before each up to it."""
    keep: list[int] = []
    references: list[int] = []
    for position, picture in enumerate(pictures):
        if picture.is_idr:
            references = []
        if position in wanted:
            keep += [*references, position]
            references = []
        elif picture.is_reference:
            references.append(position)
    return keep

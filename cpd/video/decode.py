"""Decode a few frames of a stored clip, and no more than they need (exactly as a full decode gives them).

In an H.264 stream a picture with nal_ref_idc 0 is used by no other (ITU-T H.264, 7.4.1). To show frame k it is
therefore enough to decode the reference pictures between the IDR picture before k and k, and k itself. With the
stride-aligned encode of `cut` every other disposable picture is never touched. Anything but H.264 in an MP4 is
decoded from its beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import av
import av.error

from cpd.video.probe import VideoError, open_media, video_stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_IDR = 5
_SLICES = range(1, 6)


@dataclass(frozen=True)
class _Picture:
    """One packet: what its slices say."""

    packet: av.Packet[Any]
    pts: int
    is_idr: bool
    is_reference: bool


def decode_frames(video: bytes, wanted: Sequence[int]) -> list[av.VideoFrame]:
    """Decode the frames with these indices (in order of presentation), bit-exact with a full decode.

    Args:
        video: a video file in memory.
        wanted: frame indices from 0, in any order, repeats allowed.

    Returns:
        One frame for each index, in the order of `wanted`.

    Raises:
        VideoError: corrupt: the video cannot be decoded, or has fewer frames.
    """
    if not wanted:
        return []
    if min(wanted) < 0:
        raise VideoError("corrupt", f"frame {min(wanted)} is asked for")
    try:
        frames = _selective(video, set(wanted))
        if frames is None:
            frames = _sequential(video, set(wanted))
    except av.error.FFmpegError as error:
        raise VideoError("corrupt", f"cannot be decoded: {error.strerror}") from None
    missing = sorted(set(wanted) - set(frames))
    if missing:
        raise VideoError("corrupt", f"frame {missing[0]} is missing")
    return [frames[index] for index in wanted]


def count_frames(video: bytes) -> int:
    """Decode everything and count the frames.

    Raises:
        VideoError: corrupt: a frame cannot be decoded, is damaged, or has another size than the first.
    """
    try:
        with open_media(video) as container:
            return sum(1 for _ in _whole_frames(container))
    except av.error.FFmpegError as error:
        raise VideoError("corrupt", f"cannot be decoded: {error.strerror}") from None


def _whole_frames(container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
    size = None
    for frame in _decode(container):
        size = size or (frame.width, frame.height)
        if frame.is_corrupt or (frame.width, frame.height) != size:
            raise VideoError("corrupt", "a frame is damaged or changes its size")
        yield frame


def _decode(container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
    stream = video_stream(container)
    stream.codec_context.thread_count = 1
    yield from container.decode(stream)


def _sequential(video: bytes, wanted: set[int]) -> dict[int, av.VideoFrame]:
    with open_media(video) as container:
        frames = islice(_decode(container), max(wanted) + 1)
        return {index: frame for index, frame in enumerate(frames) if index in wanted}


def _selective(video: bytes, wanted: set[int]) -> dict[int, av.VideoFrame] | None:
    """The wanted frames, or None where the stream is not one that can be planned."""
    with open_media(video) as container:
        stream = video_stream(container)
        context = stream.codec_context
        header = context.extradata
        if context.name != "h264" or header is None or not _is_avc(header):
            return None
        pictures = _pictures(container, stream, nal_length=(header[4] & 3) + 1)
        if pictures is None:
            return None
        order = sorted(range(len(pictures)), key=lambda i: pictures[i].pts)
        if max(wanted) >= len(order):
            return None
        context.thread_count = 1
        frames = _decode_packets(context, [pictures[i].packet for i in _needed(pictures, {order[k] for k in wanted})])
        by_pts = {pictures[order[k]].pts: k for k in wanted}
        found = {by_pts[frame.pts]: frame for frame in frames if frame.pts in by_pts}
        return found if len(found) == len(wanted) else None


def _is_avc(header: bytes) -> bool:
    """Whether packets hold length-prefixed NAL units (ISO/IEC 14496-15), as in MP4."""
    return len(header) > 6 and header[0] == 1


def _pictures(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, *, nal_length: int
) -> list[_Picture] | None:
    """Every packet in decoding order; None when presentation order cannot be told from the packets."""
    pictures = []
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        if packet.pts is None or packet.is_discard or packet.is_corrupt:
            return None
        headers = [header for header in _nal_headers(memoryview(packet), nal_length) if header & 31 in _SLICES]
        is_idr = any(header & 31 == _IDR for header in headers)
        pictures.append(_Picture(packet, packet.pts, is_idr, any(header & 0x60 for header in headers)))
    is_plain = bool(pictures) and pictures[0].is_idr and len({picture.pts for picture in pictures}) == len(pictures)
    return pictures if is_plain else None


def _nal_headers(data: memoryview, nal_length: int) -> list[int]:
    """First byte of every NAL unit: forbidden_zero_bit, nal_ref_idc (2 bits), nal_unit_type (5 bits)."""
    headers, position = [], 0
    while position + nal_length < len(data):
        headers.append(data[position + nal_length])
        position += nal_length + int.from_bytes(data[position : position + nal_length], "big")
    return headers


def _needed(pictures: list[_Picture], wanted: set[int]) -> list[int]:
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


def _decode_packets(context: av.VideoCodecContext, packets: list[av.Packet[Any]]) -> list[av.VideoFrame]:
    frames = [frame for packet in packets for frame in context.decode(packet)]
    return frames + context.decode(None)

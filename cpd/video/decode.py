"""Decode a few frames of a stored clip, and no more than they need (exactly as a full decode gives them).

In an H.264 stream a picture with nal_ref_idc 0 is used by no other (ITU-T H.264, 7.4.1). To show frame k it is
therefore enough to decode the reference pictures between the IDR picture before k and k, and k itself. With the
stride-aligned encode of `cut` every other disposable picture is never touched. Where pictures lie is read from the
file's own tables (`mp4`), or else asked of the demuxer. Anything but H.264 in an MP4 is decoded from its beginning.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import av
import av.error
import numpy as np

from cpd.video.mp4 import Colours, Track, read_track
from cpd.video.nal import is_avc, nal_length, needed_packets, read_picture, read_pictures
from cpd.video.probe import VideoError, open_media, video_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    Show = Callable[[int, av.VideoFrame], object]

Frames = dict[int, av.VideoFrame]
MOST_SPARE = 8  # each holds the memory of some twenty pictures


def decode_frames(video: bytes | Verified, wanted: Sequence[int]) -> list[av.VideoFrame]:
    """Decode the frames with these indices (in order of presentation), bit-exact with a full decode.

    Args:
        video: a video file in memory, or one of our own clips that was compared with its digest.
        wanted: frame indices from 0, in any order, repeats allowed.

    Returns:
        One frame for each index, in the order of `wanted`.

    Raises:
        VideoError: corrupt: the video cannot be decoded, or has fewer frames.
    """
    frames: Frames = {}
    show_frames(video, wanted, frames.__setitem__)
    return [frames[index] for index in wanted]


def show_frames(video: bytes | Verified, wanted: Collection[int], show: Show) -> None:
    """`decode_frames` without keeping them: each is shown as it comes out of the decoder, and is still in its cache.

    Args:
        video: see `decode_frames`.
        wanted: frame indices from 0.
        show: called with the index and the frame, in any order; with each once, or, where a first attempt did not
            give all of them, a second time.

    Raises:
        VideoError: corrupt: the video cannot be decoded, or has fewer frames.
    """
    if not wanted:
        return
    if min(wanted) < 0:
        raise VideoError("corrupt", f"frame {min(wanted)} is asked for")
    left = set(wanted)
    data = video.data if isinstance(video, Verified) else video
    try:
        if not _direct(video, left, show) and not _selective(data, left, show):
            left -= _sequential(data, left, show)
            if left:
                raise VideoError("corrupt", f"frame {min(left)} is missing")
    except av.error.FFmpegError as error:
        raise VideoError("corrupt", f"cannot be decoded: {error.strerror}") from None


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


def _sequential(video: bytes, wanted: set[int], show: Show) -> set[int]:
    """Show what is there; returns the indices."""
    shown = set()
    with open_media(video) as container:
        for index, frame in enumerate(islice(_decode(container), max(wanted) + 1)):
            if index in wanted:
                show(index, frame)
                shown.add(index)
    return shown


@dataclass(frozen=True)
class Verified:
    """A clip that is known to be, byte by byte, what `cut` wrote and decoded whole.

    Only such clips share decoders: a damaged one may leave behind more than a flush takes away.
    """

    data: bytes = field(repr=False)


def _direct(video: bytes | Verified, wanted: set[int], show: Show) -> bool:
    """Show the frames of a clip as `cut` writes them, found by its own tables; False for any other file."""
    planned = plan(video.data if isinstance(video, Verified) else video, wanted)
    if planned is None:
        return False
    if not isinstance(video, Verified):
        return _shown(planned.context(), planned.packets, planned.index_of, show)
    context = SPARE.pop(planned.track) or planned.context()
    complete = _shown(context, planned.packets, planned.index_of, show)
    SPARE.keep(planned.track, context)
    return complete


class Decoders:
    """Decoders to use again for clips of the same header: a new one asks the kernel for the memory of its pictures.

    One that is in use is not among them, so threads do not meet in it.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[bytes, Colours | None], Any] = OrderedDict()

    def pop(self, track: Track) -> Any:
        """One for such a track, as if new; None when there is none."""
        context = self._kept.pop((track.header, track.colours), None)
        if context is not None:
            context.flush_buffers()
        return context

    def keep(self, track: Track, context: Any) -> None:
        """Offer it to the next clip; the one that was used longest ago makes room."""
        self._kept[track.header, track.colours] = context
        if len(self._kept) > MOST_SPARE:
            self._kept.popitem(last=False)


SPARE = Decoders()


@dataclass(frozen=True)
class Plan:
    """What has to be decoded for some frames of a clip.

    Attributes:
        track: where its pictures lie.
        packets: in decoding order.
        index_of: presentation time of each wanted frame -> its index.
    """

    track: Track
    packets: list[av.Packet[Any]]
    index_of: dict[int, int]

    def context(self) -> Any:
        """A decoder that knows what the demuxer would tell it."""
        context: Any = av.CodecContext.create("h264", "r")
        context.extradata = self.track.header
        context.thread_count = 1
        colours = self.track.colours
        if colours is not None:
            context.color_primaries = colours.primaries
            context.color_trc = colours.transfer
            context.colorspace = colours.matrix
            context.color_range = 2 if colours.full_range else 1  # AVCOL_RANGE_JPEG, _MPEG
        return context


def plan(video: bytes, wanted: set[int]) -> Plan | None:
    """The packets that the wanted frames need, by the file's own tables; None where these cannot be used."""
    track = read_track(video)
    if track is None or not is_avc(track.header) or max(wanted) >= len(track.size_N):
        return None
    index_at = {int(track.order_N[k]): k for k in wanted}  # position -> index
    starts = track.sync[track.sync <= min(index_at)]
    if not len(starts):
        return None
    first, last = int(starts.max()), max(index_at)
    begin, size, times = (x_N[first : last + 1].tolist() for x_N in (track.offset_N, track.size_N, track.pts_N))
    pictures = read_pictures(video, begin, size, nal_length(track.header))
    if not pictures[0].is_idr:
        return None
    needed = needed_packets(pictures, {position - first for position in index_at})
    packets = [_packet(video, begin[i], size[i], times[i]) for i in needed]
    return Plan(track, packets, {times[position - first]: k for position, k in index_at.items()})


def _packet(video: bytes, begin: int, size: int, time: int) -> av.Packet[Any]:
    packet: av.Packet[Any] = av.Packet(video[begin : begin + size])
    packet.pts = time
    return packet


def _selective(video: bytes, wanted: set[int], show: Show) -> bool:
    """Show the frames; False where the stream is not one that can be planned."""
    with open_media(video) as container:
        stream = video_stream(container)
        context = stream.codec_context
        context.thread_count = 1
        header = context.extradata
        if context.name != "h264" or header is None or not is_avc(header):
            return False
        packets = _packets(container, stream)
        if packets is None or max(wanted) >= len(packets):
            return False
        pictures = [read_picture(memoryview(packet), nal_length(header)) for packet in packets]
        if not pictures[0].is_idr:
            return False
        times = [packet.pts or 0 for packet in packets]  # `_packets` lets none pass without
        order = np.argsort(times).tolist()
        needed = needed_packets(pictures, {order[k] for k in wanted})
        return _shown(context, [packets[i] for i in needed], {times[order[k]]: k for k in wanted}, show)


def _shown(context: Any, packets: list[av.Packet[Any]], index_of: dict[int, int], show: Show) -> bool:
    """Show the frames at the times of `index_of` (presentation time -> index); whether all of them come out."""
    shown = set()
    for frame in _decode_packets(context, packets):
        index = index_of.get(frame.pts)  # type: ignore[arg-type]  # None is no time of a packet
        if index is not None:
            show(index, frame)
            shown.add(index)
    return len(shown) == len(index_of)


def _packets(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> list[av.Packet[Any]] | None:
    """Every packet in decoding order; None when presentation order cannot be told from the packets."""
    packets = []
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        if packet.pts is None or packet.is_discard or packet.is_corrupt:
            return None
        packets.append(packet)
    return packets if packets and len({packet.pts for packet in packets}) == len(packets) else None


def _decode_packets(context: av.VideoCodecContext, packets: list[av.Packet[Any]]) -> Iterator[av.VideoFrame]:
    for packet in packets:
        yield from context.decode(packet)
    yield from context.decode(None)

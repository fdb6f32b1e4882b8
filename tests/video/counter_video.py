"""Videos whose frames show their own number: 8 bits as a grid of 2 x 4 black or white blocks."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def counter_frame(number: int, *, width: int = 96, height: int = 96) -> NDArray[np.uint8]:
    """(H, W, 3): block (row, column) is bit 4 * row + column of `number`."""
    bits = np.array([number >> bit & 1 for bit in range(8)], np.uint8).reshape(2, 4)
    rows = np.arange(height) * 2 // height
    columns = np.arange(width) * 4 // width
    return np.repeat(np.where(bits, 235, 20).astype(np.uint8)[rows][:, columns][..., None], 3, axis=2)


def read_counter(frame_HWC: NDArray[np.uint8]) -> int:
    """The number that a frame shows, whole or resized."""
    height, width, _ = frame_HWC.shape
    blocks = frame_HWC[: height // 2 * 2, : width // 4 * 4].reshape(2, height // 2, 4, width // 4, 3).mean((1, 3, 4))
    return sum(int(bit) << place for place, bit in enumerate((blocks > 127).flatten()))


def write_video(
    path: Path,
    frames: list[NDArray[np.uint8]],
    *,
    fps: int = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation: int = 0,
    **options: str,
) -> Path:
    """Encode (H, W, 3) frames."""
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, rate=fps, options={"crf": "10", "threads": "1", **options})
        stream.height, stream.width, _ = frames[0].shape
        stream.pix_fmt = pix_fmt
        if rotation:
            stream.set_display_rotation(rotation)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_counter(path: Path, n: int = 60, *, width: int = 96, height: int = 96, **options: object) -> Path:
    """A counting video of `n` frames."""
    frames = [counter_frame(number, width=width, height=height) for number in range(n)]
    return write_video(path, frames, **options)  # type: ignore[arg-type]


def full_decode(video: bytes | Path) -> list[NDArray[np.uint8]]:
    """Every frame as (rows, W) planes, by PyAV alone: the independent twin of `decode_frames`."""
    import io

    with av.open(io.BytesIO(video) if isinstance(video, bytes) else str(video)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


def full_rgb(video: bytes | Path) -> list[NDArray[np.uint8]]:
    """Every frame as (H, W, 3) RGB, converted by swscale."""
    import io

    with av.open(io.BytesIO(video) if isinstance(video, bytes) else str(video)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def soft_scene(height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """A picture whose colours stay inside [0, 255] under jitter, since Pillow clamps after every step."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 9), np.cos(y / 11), np.sin((x + 2 * y) / 13)]
    return np.stack([128 + 30 * wave for wave in waves], axis=-1).astype(np.uint8)

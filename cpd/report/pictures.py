"""Clips as small pictures inside data addresses: a thumbnail, a strip of frames, a moving picture."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from cpd.video.decode import decode_frames
from cpd.video.probe import VideoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpd.report.shelf import Shot

STRIP, MOVING = 3, 10  # frames of a strip and of a moving picture
HEIGHT = 84  # pixels; clips that are smaller stay so
MILLISECONDS = 200  # a frame of a moving picture stands for


@dataclass(frozen=True)
class Picture:
    """A clip to look at: addresses of pictures, or why there are none.

    Attributes:
        still: its middle frame, or a strip of frames.
        moving: the same as an animation; "" where none was asked for.
        width: of `still`, in pixels.
        height: of `still`.
        problem: why the clip cannot be decoded.
    """

    still: str = ""
    moving: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""


def thumbnail(shot: Shot) -> Picture:
    """The middle frame."""
    return _picture(shot, stills=[shot.meta["frames"] // 2], moving=[])


def strip(shot: Shot) -> Picture:
    """Some frames side by side, from first to last, and an animation."""
    n = shot.meta["frames"]
    return _picture(shot, stills=spread(n, STRIP), moving=spread(n, MOVING))


def spread(n: int, wanted: int) -> list[int]:
    """At most `wanted` of the indices 0..n-1, evenly spread: the middles of equal parts."""
    parts = min(n, wanted)
    return [(2 * part + 1) * n // (2 * parts) for part in range(parts)]


def _picture(shot: Shot, *, stills: Sequence[int], moving: Sequence[int]) -> Picture:
    try:
        frames = decode_frames(shot.video, [*stills, *moving])
    except VideoError as error:
        return Picture(problem=str(error))
    images = [_scaled(Image.fromarray(frame.to_ndarray(format="rgb24"))) for frame in frames]
    joined = _joined(images[: len(stills)])
    return Picture(
        still=_address(joined, "jpeg", quality=72, optimize=True),
        moving=_animation(images[len(stills) :]),
        width=joined.width,
        height=joined.height,
    )


def _scaled(image: Image.Image) -> Image.Image:
    if image.height <= HEIGHT:
        return image
    return image.resize((max(1, round(image.width * HEIGHT / image.height)), HEIGHT), Image.Resampling.LANCZOS)


def _joined(images: list[Image.Image]) -> Image.Image:
    joined = Image.new("RGB", (sum(image.width for image in images), images[0].height))
    left = 0
    for image in images:
        joined.paste(image, (left, 0))
        left += image.width
    return joined


def _animation(images: list[Image.Image]) -> str:
    if not images:
        return ""
    rest = images[1:]
    return _address(
        images[0], "webp", save_all=True, append_images=rest, duration=MILLISECONDS, loop=0, quality=50, method=4
    )


def _address(image: Image.Image, kind: str, **options: object) -> str:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"

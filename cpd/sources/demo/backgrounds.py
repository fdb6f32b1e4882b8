"""Backgrounds of the demo's videos: dull colours, so that the moving shape is what stands out."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
KINDS = ("flat", "gradient", "checker", "stripes", "texture")
SHIFTED_KINDS = ("flat", "rings", "diagonal", "texture", "gradient")


def background(kind: str, height: int, width: int, rng: np.random.Generator) -> Image:
    """A background image, uint8 (H, W, 3).

    Raises:
        ValueError: `kind` is none of `KINDS` and `SHIFTED_KINDS`.
    """
    low, high = _dull_colour(rng), _dull_colour(rng)
    blend_HW = _blend(kind, height, width, rng).clip(0, 1)
    return np.asarray(low + (high - low) * blend_HW[..., None], np.uint8)


def _dull_colour(rng: np.random.Generator) -> NDArray[np.float32]:
    """A grey of medium brightness with a slight tint."""
    return (rng.uniform(112, 172) + rng.uniform(-12, 12, 3)).astype(np.float32)


def _blend(kind: str, height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """How far every pixel is from the first colour to the second, float (H, W)."""
    y_HW, x_HW = np.mgrid[0:height, 0:width].astype(np.float32)
    period, shift = rng.uniform(14, 28), rng.uniform(0, 28, 2)
    angle = rng.uniform(0, np.pi)
    if kind == "flat":
        return np.full((height, width), rng.uniform(), np.float32)
    if kind == "gradient":
        along = x_HW * np.cos(angle) + y_HW * np.sin(angle)
        return np.asarray((along - along.min()) / (np.ptp(along) + 1e-6), np.float32)
    if kind == "checker":
        return np.asarray(((x_HW + shift[0]) // period + (y_HW + shift[1]) // period) % 2, np.float32)
    if kind == "stripes":
        axis = x_HW if angle < np.pi / 2 else y_HW
        return np.asarray((axis + shift[0]) // (period / 2) % 2, np.float32)
    if kind == "diagonal":
        return np.asarray((x_HW + y_HW * np.sign(angle - np.pi / 2) + shift[0]) // (period / 2) % 2, np.float32)
    if kind == "rings":
        radius = np.hypot(x_HW - width * rng.uniform(), y_HW - height * rng.uniform())
        return np.asarray(0.5 + 0.5 * np.sin(radius * 2 * np.pi / period), np.float32)
    if kind == "texture":
        return _texture(height, width, rng)
    raise ValueError(f"no background {kind!r}; known: {KINDS + SHIFTED_KINDS}")


def _texture(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    coarse = rng.random((height // 8 + 2, width // 8 + 2), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)

"""Rendered videos: one shape in one of five motions, filmed by a slightly shaky camera.

Only the path tells the motion: sizes, orientations, directions, phases and backgrounds are drawn alike for all.
Frequencies stay below 0.9 Hz, so that 3 frames a second still show the motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cpd.sources.demo.backgrounds import KINDS, SHIFTED_KINDS, Image, background

FPS = 12
MARGIN = 4  # pixels of background beyond each edge, for the camera to shake into
RGB = {"red": (215, 35, 40), "blue": (30, 70, 225), "green": (30, 165, 60), "yellow": (240, 205, 30)}
_SUBPIXEL = 4  # binary digits of cv2's fixed-point coordinates


@dataclass(frozen=True)
class Scene:
    """What is filmed.

    Attributes:
        motion: one of `classes.MOTIONS`.
        colour: key of `RGB`; `shape`: ball, box, star or triangle.
        width: pixels; `height` likewise.
        frames: length of the video at `FPS`.
        active: first frame with the shape in it, and the first without it again.
        seed: of the motion and the noise.
        place_seed: of the background: videos of one group share it.
        shifted: other backgrounds, more noise and a colour cast (the HMDB51-like set).
    """

    motion: str
    colour: str
    shape: str
    width: int
    height: int
    frames: int
    active: tuple[int, int]
    seed: int
    place_seed: int
    shifted: bool = False


@dataclass(frozen=True)
class Pose:
    """Where the shape is in one frame: centre and radius in pixels, angle in radians."""

    x: float
    y: float
    radius: float
    angle: float


def render(scene: Scene) -> Image:
    """Frames of a scene, uint8 RGB (T, H, W, 3). Equal scenes give equal frames."""
    place = np.random.default_rng(scene.place_seed)
    rng = np.random.default_rng(scene.seed)
    kind = str(place.choice(SHIFTED_KINDS if scene.shifted else KINDS))
    empty = background(kind, scene.height + 2 * MARGIN, scene.width + 2 * MARGIN, place)
    poses = _poses(scene, rng)
    first, stop = scene.active
    canvases = [
        _draw(empty.copy(), scene, poses[t - first]) if first <= t < stop else empty for t in range(scene.frames)
    ]
    return _film(canvases, scene, rng)


def _film(canvases: list[Image], scene: Scene, rng: np.random.Generator) -> Image:
    """The camera: shake, flicker, noise and (shifted) a colour cast. Noise is one plate, cut at random places."""
    sigma = 7.0 if scene.shifted else 4.0
    cast = np.array([1.06, 0.99, 0.88], np.float32) if scene.shifted else np.ones(3, np.float32)
    plate = rng.normal(0, sigma, (scene.height + 16, scene.width + 16, 3)).astype(np.float32)
    shake = np.clip(np.cumsum(rng.normal(0, 0.35, (scene.frames, 2)), axis=0), -MARGIN, MARGIN).round().astype(int)
    gain = 1 + rng.normal(0, 0.02, scene.frames).astype(np.float32)
    offset = rng.integers(0, 16, (scene.frames, 2))
    film = np.empty((scene.frames, scene.height, scene.width, 3), np.uint8)
    for t, canvas in enumerate(canvases):
        top, left = MARGIN + shake[t]
        seen = canvas[top : top + scene.height, left : left + scene.width] * (cast * gain[t])
        noise = plate[offset[t, 0] :, offset[t, 1] :][: scene.height, : scene.width]
        film[t] = np.clip(seen + noise, 0, 255)
    return film


def _poses(scene: Scene, rng: np.random.Generator) -> list[Pose]:
    """One pose per active frame, in coordinates of the canvas with its margin."""
    side = min(scene.width, scene.height)
    radius, angle = side * rng.uniform(0.14, 0.2), rng.uniform(0, 2 * np.pi)
    seconds_T = np.arange(scene.active[1] - scene.active[0]) / FPS
    paths = {"slide": _slide, "bounce": _bounce, "spin": _spin, "grow": _grow, "orbit": _orbit}
    x_T, y_T, scale_T, turn_T = paths[scene.motion](seconds_T, scene, radius, rng)
    rows = np.stack([x_T + MARGIN, y_T + MARGIN, radius * scale_T, angle + turn_T], axis=1)
    return [Pose(*map(float, row)) for row in rows]


_Vector = NDArray[np.float64]
_Path = tuple[_Vector, _Vector, _Vector, _Vector]


def _path(seconds_T: _Vector, *, x: object, y: object, scale: object = 1.0, turn: object = 0.0) -> _Path:
    x_T, y_T, scale_T, turn_T = (np.broadcast_to(np.asarray(v, float), seconds_T.shape) for v in (x, y, scale, turn))
    return x_T, y_T, scale_T, turn_T


def _spot(scene: Scene, reach: float, rng: np.random.Generator) -> tuple[float, float]:
    """A random centre that keeps `reach` pixels from the edges of the central square (a centre crop sees it all)."""
    free = max(min(scene.width, scene.height) / 2 - reach, 0)
    return scene.width / 2 + rng.uniform(-free, free), scene.height / 2 + rng.uniform(-free, free)


def _sign(rng: np.random.Generator) -> float:
    return float(rng.choice((-1.0, 1.0)))


def _slide(seconds_T: _Vector, scene: Scene, radius: float, rng: np.random.Generator) -> _Path:
    """Straight to and fro across the picture at constant speed and a constant, rather flat angle."""
    cycle_T = (rng.uniform(0.25, 0.4) * seconds_T + rng.uniform()) % 1
    along_T = _sign(rng) * (1 - 4 * np.abs(cycle_T - 0.5))  # a triangle wave between -1 and 1
    reach = min(scene.width, scene.height) / 2 - radius
    rise = rng.uniform(-0.25, 0.25) * (scene.height / 2 - radius)
    y = scene.height / 2 + rng.uniform(-0.5, 0.5) * (scene.height / 2 - radius - abs(rise))
    return _path(seconds_T, x=scene.width / 2 + along_T * reach, y=y + along_T * rise)


def _bounce(seconds_T: _Vector, scene: Scene, radius: float, rng: np.random.Generator) -> _Path:
    """Up and down under gravity: parabolas between impacts on the ground."""
    cycle_T = (rng.uniform(0.65, 0.9) * seconds_T + rng.uniform()) % 1
    side = min(scene.width, scene.height)
    height = (side - 2 * radius) * rng.uniform(0.75, 0.95)
    ground = (scene.height + side) / 2 - radius - rng.uniform(0, 0.05) * side
    x, _ = _spot(scene, 1.2 * radius, rng)
    drift_T = _sign(rng) * rng.uniform(0, 0.025) * side * (seconds_T - seconds_T.mean())
    return _path(seconds_T, x=x + drift_T, y=ground - height * 4 * cycle_T * (1 - cycle_T))


def _spin(seconds_T: _Vector, scene: Scene, radius: float, rng: np.random.Generator) -> _Path:
    """Turning in place."""
    x, y = _spot(scene, 1.3 * radius, rng)
    turn_T = _sign(rng) * 2 * np.pi * (rng.uniform(0.4, 0.7) * seconds_T + rng.uniform())
    return _path(seconds_T, x=x, y=y, turn=turn_T)


def _grow(seconds_T: _Vector, scene: Scene, radius: float, rng: np.random.Generator) -> _Path:
    """Swelling and shrinking in place, by a factor of three and more."""
    x, y = _spot(scene, 1.6 * radius, rng)
    wave_T = np.sin(2 * np.pi * (rng.uniform(0.4, 0.65) * seconds_T + rng.uniform()))
    return _path(seconds_T, x=x, y=y, scale=1.1 + 0.6 * wave_T)


def _orbit(seconds_T: _Vector, scene: Scene, radius: float, rng: np.random.Generator) -> _Path:
    """Round a centre; the shape itself does not turn."""
    distance = (min(scene.width, scene.height) / 2 - radius) * rng.uniform(0.8, 0.95)
    x, y = _spot(scene, distance + radius, rng)
    phase_T = _sign(rng) * 2 * np.pi * (rng.uniform(0.4, 0.6) * seconds_T + rng.uniform())
    return _path(seconds_T, x=x + distance * np.cos(phase_T), y=y + distance * np.sin(phase_T))


def _draw(canvas: Image, scene: Scene, pose: Pose) -> Image:
    """Draw the shape with a dark rim, and a white bar from its centre outwards, so that turning shows on a ball."""
    outline = _outline(scene.shape)
    rim = pose.radius + max(1.0, 0.08 * pose.radius)
    _fill(canvas, outline * rim, pose, (25, 25, 25))
    _fill(canvas, outline * pose.radius, pose, RGB[scene.colour])
    half = 0.11 * pose.radius
    end = 0.72 * pose.radius
    _fill(canvas, np.array([[-half, -half], [end, -half], [end, half], [-half, half]]), pose, (245, 245, 245))
    return canvas


def _outline(shape: str) -> NDArray[np.float64]:
    """Corners of a shape of unit radius, float (K, 2)."""
    if shape == "box":
        return np.array([[-0.85, -0.85], [0.85, -0.85], [0.85, 0.85], [-0.85, 0.85]])
    corners, inner = {"ball": (32, 1.0), "star": (10, 0.45), "triangle": (3, 1.0)}[shape]
    angle_K = 2 * np.pi * np.arange(corners) / corners - np.pi / 2
    radius_K = np.where(np.arange(corners) % 2 == 0, 1.0, inner) * (1.2 if shape in ("star", "triangle") else 1.0)
    return np.stack([radius_K * np.cos(angle_K), radius_K * np.sin(angle_K)], axis=1)


def _fill(canvas: Image, points_K2: NDArray[np.float64], pose: Pose, rgb: tuple[int, int, int]) -> None:
    cosine, sine = np.cos(pose.angle), np.sin(pose.angle)
    turned = points_K2 @ np.array([[cosine, sine], [-sine, cosine]]) + (pose.x, pose.y)
    fixed = np.round(turned * (1 << _SUBPIXEL)).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], rgb, lineType=cv2.LINE_AA, shift=_SUBPIXEL)

"""The classes of the demo: motion x appearance, and which of them pretraining sees.

Colours and shapes are partly crossed (red ball, red box, green box ...), so that neither decides alone. Eight of the
thirty combinations never occur in pretraining, although each of their motions and appearances does.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

MOTIONS = ("slide", "bounce", "spin", "grow", "orbit")
APPEARANCES = ("red ball", "blue ball", "red box", "green box", "green star", "yellow triangle")
GERUNDS = {"slide": "sliding", "bounce": "bouncing", "spin": "spinning", "grow": "growing", "orbit": "orbiting"}


@dataclass(frozen=True, order=True)
class Category:
    """One class: what moves, and how."""

    motion: str
    appearance: str

    @property
    def colour(self) -> str:
        """First word of the appearance."""
        return self.appearance.split()[0]

    @property
    def shape(self) -> str:
        """Second word of the appearance."""
        return self.appearance.split()[1]

    @property
    def kinetics(self) -> str:
        """Name as Kinetics writes it: `bouncing red ball`."""
        return f"{GERUNDS[self.motion]} {self.appearance}"

    @property
    def ucf101(self) -> str:
        """Name as UCF101 writes it: `BouncingRedBall`."""
        return self.kinetics.title().replace(" ", "")

    @property
    def hmdb51(self) -> str:
        """Name as HMDB51 writes it: `bounce_red_ball`."""
        return f"{self.motion}_{self.appearance}".replace(" ", "_")


def _categories(*names: str) -> tuple[Category, ...]:
    return tuple(sorted(Category(*name.split(" ", 1)) for name in names))


ALL = tuple(Category(motion, appearance) for motion in MOTIONS for appearance in APPEARANCES)
UNSEEN = _categories(
    "slide blue ball",
    "slide green star",
    "bounce red box",
    "bounce yellow triangle",
    "spin green box",
    "grow red ball",
    "grow green star",
    "orbit yellow triangle",
)
SEEN = tuple(category for category in ALL if category not in UNSEEN)
UCF101 = _categories(
    "bounce red ball",
    "slide red ball",
    "grow blue ball",
    "orbit blue ball",
    "spin red box",
    "grow green box",
    "bounce green star",
    "spin yellow triangle",
    "bounce red box",  # these four are never seen in pretraining
    "slide blue ball",
    "spin green box",
    "orbit yellow triangle",
)
HMDB51 = _categories(
    "orbit red ball",
    "bounce blue ball",
    "spin blue ball",
    "slide red box",
    "orbit green box",
    "spin green star",
    "grow yellow triangle",
    "grow red ball",  # these three are never seen in pretraining
    "slide green star",
    "bounce yellow triangle",
)


def stream(*names: object) -> random.Random:
    """An independent random stream for a name, equal in every process and on every machine."""
    return random.Random(number(*names))


def number(*names: object) -> int:
    """A seed of 63 bits for a name."""
    text = "/".join(map(str, names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

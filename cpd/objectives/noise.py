"""Uniform noise rows for NCE: a hash of seed, step, purpose, instance and place, so no draw depends on another.

Shapes: B anchors, M noise rows per anchor.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


# SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014): the step between states,
# and the multipliers and shifts of its finaliser (Stafford's mix 13).
STEP = 0x9E3779B97F4A7C15
MULTIPLIERS, SHIFTS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB), (30, 27, 31)


class NoiseSource:
    """Draws row numbers from 0..n-1, uniformly and with repetition, without an alias table.

    An anchor's rows are a SplitMix64 stream whose start is a hash of (seed, step, purpose, instance). So they are the
    same however a batch is cut into ranks and micro-batches, and on a CPU and a GPU; and the state is two numbers.

    Args:
        n: rows of the bank.
        seed: of the run.
        device: where the draws are made.
    """

    def __init__(self, n: int, *, seed: int, device: torch.device | str) -> None:
        self.n, self.seed, self.step, self.device = n, seed, 0, torch.device(device)

    def draw(self, m: int, *, purpose: str) -> Tensor:
        """This step's rows (m,) that anchors share, int64."""
        return self.draw_for(torch.zeros(1, dtype=torch.int64, device=self.device), m, purpose=purpose)[0]

    def draw_for(self, index_B: Tensor, m: int, *, purpose: str) -> Tensor:
        """This step's noise rows (B, m) of the anchors index_B, int64; of one instance they are the same rows.

        Args:
            index_B: instance of each anchor.
            m: rows an anchor.
            purpose: separates draws of one step, as those of the two directions.
        """
        first_B = _mix(index_B * _signed(STEP) + _signed(_hash((self.seed, self.step, purpose), size=8)))
        place_M = torch.arange(1, m + 1, device=index_B.device) * _signed(STEP)
        word_BM = _mix(first_B[:, None] + place_M)
        return word_BM.bitwise_and_(2**63 - 1).remainder_(self.n)

    def next_step(self) -> None:
        """Go to the next optimiser step."""
        self.step += 1

    def state_dict(self) -> dict[str, int]:
        """Seed and step."""
        return {"seed": self.seed, "step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where a checkpoint stopped."""
        self.seed, self.step = state["seed"], state["step"]


def _mix(word: Tensor) -> Tensor:
    """SplitMix64's finaliser, in place; products wrap, as unsigned ones do."""
    for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=False):
        word.bitwise_xor_(_shifted(word, shift)).mul_(_signed(multiplier))
    return word.bitwise_xor_(_shifted(word, SHIFTS[-1]))


def _shifted(word: Tensor, by: int) -> Tensor:
    """To the right, filled with zeros: torch's own shift of int64 fills with the sign."""
    return word.bitwise_right_shift(by).bitwise_and_(2 ** (64 - by) - 1)


def _signed(word: int) -> int:
    """The int64 of the same 64 bits."""
    return word - 2**64 if word >= 2**63 else word


def derive_seed(*words: int | str) -> int:
    """A 32-bit seed from numbers and names: near inputs give unrelated seeds (torch's CPU generator keeps 32 bits)."""
    return _hash(words, size=4)


def _hash(words: tuple[int | str, ...], *, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(repr(words).encode(), digest_size=size).digest(), "little")

"""Uniform noise rows for NCE, drawn from a seed and two counters."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


class NoiseSource:
    """Draws row numbers from 0..n-1, uniformly and with repetition, as one `randint` (no alias table).

    The generator is seeded anew for each draw by (seed, step, draws of this step). So its state is three numbers,
    which are equal on every rank after `next_step` even where ranks drew unequally often, and which a checkpoint
    carries from a GPU to a CPU.

    Args:
        n: rows of the bank.
        seed: of the run.
        device: where the draws are made.
    """

    def __init__(self, n: int, *, seed: int, device: torch.device | str) -> None:
        self.n, self.seed, self.step, self.draws = n, seed, 0, 0
        self._generator = torch.Generator(device=device)

    def draw(self, *shape: int) -> Tensor:
        """The next draw: int64 of the given shape."""
        self._generator.manual_seed(derive_seed(self.seed, self.step, self.draws))
        self.draws += 1
        return torch.randint(self.n, shape, generator=self._generator, device=self._generator.device)

    def draw_for(self, index_B: Tensor, m: int) -> Tensor:
        """Noise rows (B, m) for the anchors index_B.

        Ranks share the generator's stream. Shifting each anchor's rows by its own instance keeps them uniform and
        gives the ranks different rows.
        """
        return (self.draw(len(index_B), m) + index_B[:, None]) % self.n

    def next_step(self) -> None:
        """Go to the next optimiser step."""
        self.step, self.draws = self.step + 1, 0

    def state_dict(self) -> dict[str, int]:
        """Seed and counters."""
        return {"seed": self.seed, "step": self.step, "draws": self.draws}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where a checkpoint stopped."""
        self.seed, self.step, self.draws = state["seed"], state["step"], state["draws"]


def derive_seed(*words: int | str) -> int:
    """A 32-bit seed from numbers and names: near inputs give unrelated seeds (torch's CPU generator keeps 32 bits)."""
    digest = hashlib.blake2b(repr(words).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")

"""The text side of pretraining: which title belongs to which instance, and its features.

Shapes: B micro-batch, N instances, E text feature.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from cpd.engine import distributed
from cpd.engine.distributed import World
from cpd.errors import CpdError
from cpd.models.two_tower import TwoTower
from cpd.shards.read import SampleTable


def titles_of(table: SampleTable, variant: str) -> list[str]:
    """The title of each instance in `variant`, or title_clean where that is empty.

    Raises:
        CpdError: a sample has neither.
    """
    titles = [meta.get(variant) or meta.get("title_clean") or "" for meta in table.meta]
    hint = "a source of pairs needs `text: true`; run its title rules and make its shards again"
    return of_every_sample(table, titles, what=variant, hint=hint)


def of_every_sample(table: SampleTable, texts: list[str], *, what: str, hint: str) -> list[str]:
    """The texts, when every sample has one.

    Raises:
        CpdError: some have none; the first is named.
    """
    empty = [key for key, text in zip(table.keys, texts, strict=True) if not text]
    if empty:
        raise CpdError(f"{len(empty)} samples have no {what}, first {empty[0]}", hint=hint)
    return texts


def shuffled(titles: Sequence[str], *, seed: int) -> list[str]:
    """Every video gets another video's title (the control row): titles rotate along a random cycle."""
    order = np.random.default_rng(seed).permutation(len(titles))
    permuted = list(titles)
    for here, there in zip(order, np.roll(order, 1), strict=True):
        permuted[here] = titles[there]
    return permuted


def equal_groups(titles: Sequence[str]) -> torch.Tensor:
    """One number (N,) for each title, the same for equal ones: pairs with one title are no negatives of each other."""
    place = {title: number for number, title in enumerate(sorted(set(titles)))}
    return torch.tensor([place[title] for title in titles], dtype=torch.int64)


class Titles:
    """Titles as text features: computed once while the language model is frozen, live while it is trained."""

    def __init__(self, titles: Sequence[str], model: TwoTower, world: World) -> None:
        self.titles, self.model, self.world = titles, model, world
        self.features_NE: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.titles)

    def freeze(self) -> None:
        """Compute every feature with the language model as it is now, unless they are there; ranks share the work.

        They lie in main memory, (N, E) fp32 on every rank.
        """
        if self.features_NE is None:
            part_NE = self._encode(distributed.share(self.titles, self.world))
            self.features_NE = distributed.gather_rows_to_cpu(part_NE, self.world)

    def release(self) -> None:
        """Encode live from now on."""
        self.features_NE = None

    def __call__(self, index_B: torch.Tensor) -> torch.Tensor:
        """Text features (B, E) of a few instances, or of none, on the device; with gradient when live."""
        if not len(index_B):
            return torch.zeros(0, self.model.text.dim, device=self.world.device)  # no tokenizer takes nothing
        if self.features_NE is not None:
            return self.features_NE[index_B.cpu()].to(self.world.device)
        tokens = self.model.text.tokenize([self.titles[i] for i in index_B.tolist()])
        t_BE: torch.Tensor = self.model.text(**{name: value.to(self.world.device) for name, value in tokens.items()})
        return t_BE

    def constant(self, index_N: torch.Tensor) -> torch.Tensor:
        """Text features (N, E) of many instances, on the device, without gradient and in eval mode."""
        if self.features_NE is not None:
            return self(index_N)
        return self._encode([self.titles[i] for i in index_N.tolist()]).to(self.world.device)

    def _encode(self, titles: Sequence[str]) -> torch.Tensor:
        distinct = sorted(set(titles))
        place = {title: row for row, title in enumerate(distinct)}
        return self.model.text.encode(distinct)[[place[title] for title in titles]]

"""Word2vec as a sentence encoder: the mean of the vectors of a title's words (paper v3's text encoder).

Shapes: B titles of a batch, T words, E values of a vector.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from cpd.models.sentence_tower import FrozenTower
from cpd.models.word_vectors import WordVectors, read_vectors

if TYPE_CHECKING:
    from pathlib import Path

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


class Word2VecTower(FrozenTower):
    """Mean of word vectors. A word that the file lacks is tried in lower case, and then left out.

    A title of unknown words alone is the zero vector; `encode` warns and says how many there were.
    """

    def __init__(self, vectors: WordVectors, *, max_tokens: int) -> None:
        super().__init__([vectors.path])
        self.vectors, self.dim, self.max_tokens = vectors, vectors.dim, max_tokens

    @classmethod
    def from_path(cls, path: str | Path, max_tokens: int, *, limit: int | None = None) -> Word2VecTower:
        """Load a file in word2vec's binary or text format.

        Raises:
            CpdError: it is not there, or is not such a file.
        """
        return cls(read_vectors(path, limit=limit), max_tokens=max_tokens)

    def known_words(self, title: str) -> list[str]:
        """The words of a title that have a vector, as the file spells them, at most `max_tokens`."""
        words = (word if word in self.vectors else word.lower() for word in WORD.findall(title))
        return [word for word in words if word in self.vectors][: self.max_tokens]

    def tokenize(self, titles: list[str]) -> dict[str, Tensor]:
        """`vectors` (B, T, E), zero where a title has ended, and `attention_mask` (B, T); T is at least 1."""
        words = [self.known_words(title) for title in titles]
        longest = max(map(len, words), default=0) or 1
        vectors_BTE = np.zeros((len(titles), longest, self.dim), np.float32)
        mask_BT = torch.zeros(len(titles), longest, dtype=torch.int64)
        for row, found in enumerate(words):
            mask_BT[row, : len(found)] = 1
            for column, word in enumerate(found):
                vectors_BTE[row, column] = self.vectors[word]
        return {"vectors": torch.from_numpy(vectors_BTE), "attention_mask": mask_BT}

    def forward(self, vectors: Tensor, attention_mask: Tensor) -> Tensor:
        """Tokens of `tokenize` to features (B, E)."""
        count_B1 = attention_mask.sum(1, keepdim=True).clamp(min=1)
        result: Tensor = vectors.sum(1) / count_B1
        return result

    def encode(self, titles: list[str], batch_size: int = 256) -> Tensor:
        """Features (N, E) of many titles, on the CPU."""
        features_NE = super().encode(titles, batch_size)
        unknown = int((features_NE == 0).all(1).sum())
        if unknown:
            warnings.warn(f"{unknown} of {len(titles)} titles have no word of {self.vectors.path}", stacklevel=2)
        return features_NE

"""Which text tower a config's encoder is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cpd.models.text_tower import TextTower

if TYPE_CHECKING:
    from cpd.config import Encoder
    from cpd.models.sentence_tower import SentenceTower


def build(encoder: Encoder) -> SentenceTower:
    """Load an encoder of any kind.

    Raises:
        CpdError: it is not there, or its files are not what `encoder.kind` says.
    """
    if encoder.kind == "word2vec":
        from cpd.models.word2vec_tower import Word2VecTower

        return Word2VecTower.from_path(encoder.path, encoder.max_tokens, limit=encoder.limit)
    if encoder.kind == "skip_thoughts":
        from cpd.models.skip_thoughts import SkipThoughts

        vectors = None if encoder.vectors is None else Path(encoder.vectors)
        return SkipThoughts(Path(encoder.path), max_tokens=encoder.max_tokens, vectors=vectors, limit=encoder.limit)
    extra = {"unmasked": True} if encoder.unmasked else {}
    return TextTower.from_path(encoder.path, max_tokens=encoder.max_tokens, **extra)

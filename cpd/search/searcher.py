"""Questions and answers: a sentence, a clip of the gallery, a dropped clip.

Shapes: K classes, D embedding.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from torch.nn.functional import normalize

from cpd.evaluate.zeroshot import embed_classes
from cpd.search.gallery import Clip
from cpd.search.nearest import Named, nearest, nearest_names
from cpd.search.query import parse_query

if TYPE_CHECKING:
    from torch import Tensor

    from cpd.search.gallery import Gallery
    from cpd.search.network import Network, Seen

NAMES = 5  # titles and classes shown of a clip
EXAMPLES = 6


@dataclass(frozen=True)
class Hit:
    """A clip that was found; `score` and `share` as in `Near`."""

    clip: Clip
    score: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was found, best first; `embed_ms` to embed what was asked, `search_ms` to compare it with all."""

    hits: list[Hit]
    titles: list[Named]
    classes: list[Named]
    embed_ms: float
    search_ms: float


class Searcher:
    """A gallery and the network that made its features.

    Args:
        gallery: what is searched.
        network: embeds what is asked.
        k: clips of an answer.
    """

    def __init__(self, gallery: Gallery, network: Network, *, k: int) -> None:
        self.gallery = gallery
        self.network = network
        self.k = k

    def warm_up(self) -> None:
        """Ask once, so that the first who asks does not wait for what is loaded late."""
        query = parse_query("a first sentence", title=self.gallery.exp.title)
        if query is not None and self.gallery.has_text:
            self.by_sentence(query.read)

    def by_sentence(self, sentence: str) -> Answer:
        """Clips that a sentence names."""
        started = time.perf_counter()
        query_D = self.network.sentences([sentence])[0]
        embedded = time.perf_counter()
        hits = self._hits(query_D, self.k)
        return Answer(hits=hits, titles=[], classes=[], **_times(started, embedded))

    def like(self, row: int) -> Answer:
        """Titles, classes and other clips for a clip of the gallery."""
        return self._about(self.gallery.clip_ND[row], without=self.gallery.clips[row], started=time.perf_counter())

    def of_dropped(self, seen: Seen, *, started: float) -> Answer:
        """Titles, classes and clips for a dropped clip, which was looked at since `started`."""
        return self._about(seen.emb_D if self.gallery.has_text else seen.res5_F, without=None, started=started)

    def examples(self) -> list[str]:
        """Some short titles from all over the gallery, to click on."""
        if not len(self.gallery.text_ND):
            return []
        short = [title for title in dict.fromkeys(self.gallery.titles) if 0 < len(title) <= 60]
        return short[:: max(1, len(short) // EXAMPLES)][:EXAMPLES]

    def _about(self, clip_D: Tensor, *, without: Clip | None, started: float) -> Answer:
        gallery, class_KD = self.gallery, self._class_KD
        embedded = time.perf_counter()
        hits = [hit for hit in self._hits(clip_D, self.k + 1) if hit.clip != without][: self.k]
        titles = nearest_names(clip_D, gallery.text_ND, gallery.titles, k=NAMES) if len(gallery.text_ND) else []
        classes = nearest_names(clip_D, class_KD, gallery.classes, k=NAMES) if class_KD is not None else []
        return Answer(hits=hits, titles=titles, classes=classes, **_times(started, embedded))

    def _hits(self, query_D: Tensor, k: int) -> list[Hit]:
        found = nearest(query_D, self.gallery.clip_ND, k=k)
        return [Hit(self.gallery.clips[near.row], near.score, near.share) for near in found]

    @cached_property
    def _class_KD(self) -> Tensor | None:
        """Unit rows of the class names, as zero-shot classification embeds them; None where there are none."""
        names = self.gallery.classes if self.gallery.has_text else []
        if not names:
            return None
        prompts = self.gallery.place.prompts
        return normalize(embed_classes(names, prompts=prompts, embed=self.network.sentences), dim=1)


def _times(started: float, embedded: float) -> dict[str, float]:
    return {"embed_ms": 1e3 * (embedded - started), "search_ms": 1e3 * (time.perf_counter() - embedded)}

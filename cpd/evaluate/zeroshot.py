"""Zero-shot classification: the class whose name is nearest to the video, by cosine (PAPER section 2).

Besides all classes, random subsets: each draw takes the same classes for every run, so that rows compare.
Shapes: Q videos, K classes, P prompts, D embedding.
"""

from __future__ import annotations

import random
import re
import statistics
from typing import TYPE_CHECKING, Any

from torch.nn.functional import normalize

from cpd.config import ZeroShot
from cpd.errors import CpdError
from cpd.evaluate.factors import Factors, percent
from cpd.evaluate.predictions import Measured, scored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from cpd.evaluate.datasets import Labelled

_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def class_phrase(name: str) -> str:
    """A class name as words: "BasketballDunk" -> "basketball dunk", "brush_hair" -> "brush hair"."""
    return " ".join(_WORD_STARTS.sub(" ", name).replace("_", " ").split()).lower()


def embed_classes(classes: Sequence[str], *, prompts: Sequence[str], embed: Callable[[list[str]], Tensor]) -> Tensor:
    """class_KD of K class names: the mean over the prompts of unit rows.

    Args:
        classes: names as the lists have them.
        prompts: each with one `{}`, where the name goes as words.
        embed: sentences to rows (N, D).
    """
    sentences = [prompt.replace("{}", class_phrase(name)) for prompt in prompts for name in classes]
    text_PKD = normalize(embed(sentences), dim=1).view(len(prompts), len(classes), -1)
    return text_PKD.mean(dim=0)


def evaluate(
    test: Labelled, class_KD: Tensor, *, classes: list[str], settings: ZeroShot, factors: Factors | None = None
) -> Measured:
    """Scores over all classes and over random subsets of them.

    Args:
        test: Q test videos; of their features, "emb" (Q, D) counts.
        class_KD: embeddings of the K class names.
        classes: the K names.
        settings: sizes of the subsets (those of K or more are skipped), and how many draws of each.
        factors: as for `factor_scores`.

    Returns:
        Values {"classes": K, "all": {"top1", "top5", "chance", ...}, "20": {"top1", "std", "draws", "share", "chance":
        {"top1"}}, ...}: mean and sample standard deviation over the draws (0 for one draw), and the mean share of the Q
        videos that a draw scores (share * Q / 100 of them), in percent; predictions over all classes.
    """
    sim_QK = normalize(test.features["emb"].float(), dim=1) @ normalize(class_KD.float(), dim=1).T
    best_QK = sim_QK.sort(dim=1, descending=True, stable=True).indices[:, :5].tolist()
    ranked = [[classes[c] for c in best] for best in best_QK]
    overall = scored({"all": ranked}, test.labels, test.keys, classes=classes, factors=factors)
    subsets = {
        str(size): _subset_scores(sim_QK, test.labels, classes, size=size, draws=settings.draws)
        for size in settings.subsets
        if size < len(classes)
    }
    return Measured({"classes": len(classes), **overall.values, **subsets}, overall.predictions)


def draw_classes(classes: list[str], *, size: int, draw: int) -> list[str]:
    """The classes of one draw, sorted: they follow from names, size and draw alone."""
    return sorted(random.Random(f"zeroshot/{size}/{draw}").sample(sorted(classes), size))


def _subset_scores(sim_QK: Tensor, labels: list[str], classes: list[str], *, size: int, draws: int) -> dict[str, Any]:
    drawn = [draw_classes(classes, size=size, draw=draw) for draw in range(draws)]
    rows = [found for names in drawn if (found := _draw(sim_QK, labels, classes, names))]
    if not rows:
        raise CpdError(f"no test video belongs to any of {draws} draws of {size} classes", hint="see evaluate.zeroshot")
    scores = [percent(hits) for hits in rows]
    std = statistics.stdev(scores) if len(scores) > 1 else 0.0
    share = 100.0 * statistics.fmean(len(hits) for hits in rows) / len(labels)
    return {
        "top1": statistics.fmean(scores),
        "std": std,
        "draws": len(scores),
        "share": share,
        "chance": {"top1": 100.0 / size},
    }


def _draw(sim_QK: Tensor, labels: list[str], classes: list[str], drawn: list[str]) -> list[bool]:
    """Of each video that belongs to a drawn class, whether that is the nearest of the drawn ones."""
    rows = [row for row, label in enumerate(labels) if label in set(drawn)]
    if not rows:
        return []
    columns = [classes.index(name) for name in drawn]
    best_R = sim_QK[rows][:, columns].argmax(dim=1).tolist()
    return [drawn[best] == labels[row] for best, row in zip(best_R, rows, strict=True)]

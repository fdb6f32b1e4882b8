"""A map of the test videos' embeddings, for the shown run and its control.

t-SNE (van der Maaten and Hinton, 2008) of the unit embeddings, started from their principal components, so that it is
the same whenever it is drawn. Distances between far groups mean nothing; the share of neighbours of the same class is
counted in the embedding itself.
Shapes: N points, D embedding, K neighbours.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cpd.errors import CpdError
from cpd.evaluate.factors import load_factors
from cpd.report.choose import mapped
from cpd.report.pictures import spread

if TYPE_CHECKING:
    from cpd.config import Config
    from cpd.evaluate.features import Features

    Points = np.ndarray[tuple[int, int], np.dtype[np.float64]]

MOST, FEWEST = 2000, 8  # points drawn; fewer than that make no map
COLOURS = 12  # classes with a colour of their own where a source names no factors
NEIGHBOURS = 10
OTHER = "other classes"


@dataclass(frozen=True)
class Map:
    """One run's map.

    Attributes:
        run: which run.
        dataset: whose test videos.
        source: the features shown.
        total: how many there are.
        xy: (x, y) of each point drawn.
        colour: what its colour stands for; `marker` what its shape stands for, "" everywhere without a second factor.
        marker: see `colour`.
        colour_name: what `colour` is; `marker_name` likewise.
        marker_name: see `colour_name`.
        purity: mean share of a point's nearest neighbours that are of its class, in percent; None without classes.
        chance: what `purity` would be of any order.
    """

    run: str
    dataset: str
    source: str
    total: int
    xy: list[tuple[float, float]]
    colour: list[str]
    marker: list[str]
    colour_name: str
    marker_name: str
    purity: float | None
    chance: float | None


def maps(config: Config) -> tuple[list[Map], list[str]]:
    """The maps, and what is missing."""
    found, problems = [], []
    for run, dataset in mapped(config):
        try:
            found.append(_map(config, run, dataset))
        except CpdError as error:
            problems.append(str(error))
    return found, problems


def purity(emb_ND: Points, labels: list[str]) -> tuple[float, float]:
    """Share of each point's nearest neighbours (cosine) that are of its class, and of any pair, in percent."""
    k = min(NEIGHBOURS, len(labels) - 1)
    similar_NN = emb_ND @ emb_ND.T
    np.fill_diagonal(similar_NN, -np.inf)
    nearest_NK = np.argsort(-similar_NN, axis=1, kind="stable")[:, :k]
    names_N = np.array(labels)
    same = float((names_N[nearest_NK] == names_N[:, None]).mean())
    counts, n = Counter(labels).values(), len(labels)
    return 100 * same, 100 * sum(c * (c - 1) for c in counts) / (n * (n - 1))


def _map(config: Config, run: str, dataset: str) -> Map:
    from cpd.evaluate.datasets import load_split
    from cpd.evaluate.features import features_path

    spec = config.datasets[dataset]
    path = features_path(config, run, source=spec.source, split=spec.test)
    features = load_split(config, run, source=spec.source, split=spec.test)
    if len(features) < FEWEST:
        raise CpdError(f"{run}: {len(features)} videos make no map", hint=f"a map needs {FEWEST}")
    rows = spread(len(features), MOST)
    emb_ND = _unit(features, rows)
    labels = [features.labels[row] for row in rows]
    colour, marker, names = _looks(config, spec.source, labels)
    same, chance = purity(emb_ND, labels) if any(labels) else (None, None)
    return Map(run, dataset, str(path), len(features), _tsne(emb_ND), colour, marker, *names, same, chance)


def _unit(features: Features, rows: list[int]) -> Points:
    emb_ND = np.asarray(features.emb_ND, dtype=np.float64)[rows]
    unit_ND: Points = emb_ND / np.maximum(np.linalg.norm(emb_ND, axis=1, keepdims=True), 1e-12)
    return unit_ND


def _tsne(emb_ND: Points) -> list[tuple[float, float]]:
    """Positions in the unit square."""
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise CpdError("the map needs scikit-learn", hint="pip install scikit-learn") from None
    perplexity = min(30.0, (len(emb_ND) - 1) / 3)
    xy_N2 = TSNE(init="pca", metric="cosine", perplexity=perplexity, random_state=0).fit_transform(emb_ND)
    low, high = xy_N2.min(axis=0), xy_N2.max(axis=0)
    scaled = (xy_N2 - low) / np.maximum(high - low, 1e-12)
    return [(round(float(x), 4), round(float(y), 4)) for x, y in scaled]


def _looks(config: Config, source: str, labels: list[str]) -> tuple[list[str], list[str], tuple[str, str]]:
    """Colour and marker of every point, and what they stand for: two factors of the class, or the class."""
    path = config.sources[source].factors
    if path and Path(path).is_file():
        factors = load_factors(path)
        known = all(label in factors for label in labels)
        names = sorted(factors[labels[0]]) if known else []
        if len(names) >= 2:
            values = [[factors[label][name] for label in labels] for name in names[:2]]
            return values[0], values[1], (names[0], names[1])
    order = sorted(set(labels) - {""})
    own = {order[place] for place in spread(len(order), COLOURS)}
    return [label if label in own else OTHER for label in labels], [""] * len(labels), ("class", "")

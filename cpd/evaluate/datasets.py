"""Which features train a downstream set, and which test it.

A dataset with `folds` takes both from one source split and tells them apart by the official list of the fold; one
without takes its two splits, and its only split is called "test".
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from cpd.config import Config, Dataset
from cpd.errors import CpdError
from cpd.evaluate.factors import Factors, load_factors
from cpd.evaluate.features import Features, features_path, load
from cpd.evaluate.result import hash_inputs, model_path

if TYPE_CHECKING:
    from torch import Tensor

ONLY = "test"
LEAVE_OUT = "mend the lists, or set datasets.*.unlabelled: leave_out"


@dataclass(frozen=True)
class Labelled:
    """N items with labels: features by name ({"emb": (N, D), "res5": (N, F)}), class names, keys."""

    features: dict[str, Tensor]
    labels: list[str]
    keys: list[str]

    def __len__(self) -> int:
        return len(self.keys)


def splits(dataset: Dataset) -> tuple[str, ...]:
    """Names of a dataset's splits: its folds, or "test"."""
    return tuple(map(str, dataset.folds)) or (ONLY,)


def find_dataset(config: Config, name: str, *, split: str) -> Dataset:
    """A dataset that can be measured on frozen features.

    Raises:
        CpdError: there is no such dataset or split, or it is for fine-tuning only.
    """
    if name not in config.datasets:
        close = difflib.get_close_matches(name, config.datasets, n=1) or sorted(config.datasets)
        raise CpdError(f"datasets has no {name!r}", hint=f"known: {', '.join(close)}")
    dataset = config.datasets[name]
    if dataset.fractions:
        raise CpdError(f"dataset {name!r} has fractions: it is for `cpd finetune` alone", hint="name another dataset")
    if split not in splits(dataset):
        raise CpdError(f"dataset {name!r} has no split {split!r}", hint=f"its splits: {', '.join(splits(dataset))}")
    return dataset


def labelled(config: Config, run: str, *, dataset: str, split: str) -> tuple[Labelled, Labelled]:
    """Training and test items of one split of a dataset.

    Raises:
        CpdError: features are missing or stale, an item has no label, or a side is empty.
    """
    spec = find_dataset(config, dataset, split=split)
    parts = {name: load_split(config, run, source=spec.source, split=name) for name in {spec.train, spec.test}}
    sides = []
    for side, features in (("train", parts[spec.train]), ("test", parts[spec.test])):
        rows = members(features, spec, split=split, side=side)
        sides.append(_labelled(features, rows, spec, where=f"{dataset}-{split} {side}"))
    return sides[0], sides[1]


def test_items(config: Config, run: str, *, dataset: str, split: str) -> tuple[Labelled, list[str]]:
    """Test items of one split, and the names of all classes of the split's source.

    Raises:
        CpdError: as `labelled`.
    """
    spec = find_dataset(config, dataset, split=split)
    features = load_split(config, run, source=spec.source, split=spec.test)
    rows = members(features, spec, split=split, side="test")
    return _labelled(features, rows, spec, where=f"{dataset}-{split} test"), sorted(set(features.labels) - {""})


@dataclass(frozen=True)
class Pairs:
    """N videos and their titles, row by row."""

    video_ND: Tensor
    text_ND: Tensor
    keys: list[str]


def pairs(config: Config, run: str, *, dataset: str, split: str, n: int) -> Pairs:
    """Embeddings of the first `n` test pairs, in the order of the shards.

    Raises:
        CpdError: the source has no titles, or no pair is left.
    """
    spec = find_dataset(config, dataset, split=split)
    features = load_split(config, run, source=spec.source, split=spec.test)
    if len(features.text_ND) != len(features):
        raise CpdError(f"source {spec.source!r} has no titles (text: false)", hint="retrieval needs pairs")
    rows = members(features, spec, split=split, side="test")[:n]
    index_N = torch.tensor(rows, dtype=torch.int64)
    return Pairs(features.emb_ND[index_N], features.text_ND[index_N], [features.keys[row] for row in rows])


def members(features: Features, dataset: Dataset, *, split: str, side: str) -> list[int]:
    """Rows of one side ("train" or "test"): by the fold's official list where there are folds, else all."""
    if not dataset.folds:
        return list(range(len(features)))
    return [row for row, folds in enumerate(features.folds) if folds.get(split) == side]


def load_split(config: Config, run: str, *, source: str, split: str) -> Features:
    """Features of a source's split, which must come from the run's weights as they are now.

    Raises:
        CpdError: they were extracted from other weights.
    """
    path = features_path(config, run, source=source, split=split)
    features = load(path)
    model = model_path(config, run)
    if hash_inputs(model)[str(model)] not in features.provenance["inputs"].values():
        raise CpdError(f"{path}: not made from {model} as it is now", hint="delete it and run `cpd features` again")
    return features


def inputs(config: Config, run: str, *, dataset: str, sides: tuple[str, ...] = ("train", "test")) -> dict[str, str]:
    """SHA-256 of the run's weights and of the features a protocol reads."""
    spec = config.datasets[dataset]
    names = sorted({getattr(spec, side) for side in sides})
    paths: list[Path] = [features_path(config, run, source=spec.source, split=name) for name in names]
    return hash_inputs(model_path(config, run), *paths)


def factors_of(config: Config, dataset: str) -> Factors | None:
    """The factors of a dataset's classes, or None where its source names none."""
    path = config.sources[config.datasets[dataset].source].factors
    return load_factors(path) if path else None


def _labelled(features: Features, rows: list[int], spec: Dataset, *, where: str) -> Labelled:
    if spec.unlabelled == "leave_out":
        rows = [row for row in rows if features.labels[row]]
    if not rows:
        raise CpdError(f"{where}: no items", hint="see `cpd status`: did every id fail?")
    nameless = [features.keys[row] for row in rows if not features.labels[row]]
    if nameless:
        raise CpdError(f"{where}: {len(nameless)} items without a label, as {nameless[:3]}", hint=LEAVE_OUT)
    return Labelled(
        features={"emb": _chosen(features.emb_ND, rows), "res5": _chosen(features.res5_NF, rows)},
        labels=[features.labels[row] for row in rows],
        keys=[features.keys[row] for row in rows],
    )


def _chosen(x_ND: Tensor, rows: list[int]) -> Tensor:
    """These rows; all of them in order are the memory map itself, and no copy."""
    return x_ND if rows == list(range(len(x_ND))) else x_ND[torch.tensor(rows)]

"""Which videos of a labelled set train and which test, for each kind of split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cpd.config import Config, Dataset
from cpd.errors import CpdError
from cpd.evaluate.datasets import LEAVE_OUT
from cpd.shards.read import SampleTable


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A split of a labelled set; `train` and `test` are instances of `table`.

    Attributes:
        table: all samples of either kind.
        labels: class name of each instance.
        classes: sorted names of all classes.
        train: instances that train.
        test: instances that test.
        held: instances of the training side that only validate.
    """

    table: SampleTable
    labels: list[str]
    classes: list[str]
    train: list[int]
    test: list[int]
    held: list[int] = field(default_factory=list)

    def targets(self) -> list[int]:
        """Position in `classes` of each instance's label."""
        place = {name: k for k, name in enumerate(self.classes)}
        return [place[label] for label in self.labels]


def split_names(dataset: Dataset) -> list[str]:
    """The splits a dataset has: its folds, its fractions, or "test"."""
    names = [str(fold) for fold in dataset.folds] + [f"{fraction:g}" for fraction in dataset.fractions]
    return names or ["test"]


def open_split(config: Config, name: str, *, split: str, seed: int, holdout: float = 0.0) -> Labelled:
    """Open the shards of dataset `name` and choose the samples of `split`.

    Args:
        config: the whole config.
        name: key of `datasets`.
        split: a fold ("1"), a fraction of the training labels ("0.1"), or "test" where there are neither.
        seed: of the choice of a fraction, and of what is held out.
        holdout: share of each class's training videos that validate instead.

    Raises:
        CpdError: no such dataset or split, a class or a side has no sample, or there is too little to hold out.
    """
    if name not in config.datasets:
        raise CpdError(f"datasets has no {name!r}", hint=f"known: {', '.join(sorted(config.datasets))}")
    dataset = config.datasets[name]
    if split not in split_names(dataset):
        raise CpdError(f"datasets.{name} has no split {split!r}", hint=f"known: {', '.join(split_names(dataset))}")
    parts = list(dict.fromkeys([(dataset.source, dataset.train), (dataset.source, dataset.test)]))
    table = SampleTable.open(Path(config.results), parts)
    labels = [meta.get("label") or "" for meta in table.meta]
    train, test = _sides(table, dataset, split)
    if dataset.unlabelled == "leave_out":
        train, test = ([i for i in side if labels[i]] for side in (train, test))
    if dataset.fractions:
        train = balanced_subset(train, labels, fraction=float(split), seed=seed)
    data = _checked(table, labels, train, test, where=f"{name} split {split}")
    return _with_held_out(data, share=holdout, seed=seed, where=f"{name} split {split}") if holdout else data


def _sides(table: SampleTable, dataset: Dataset, split: str) -> tuple[list[int], list[int]]:
    if dataset.folds:
        sides = [(meta.get("folds") or {}).get(split, "") for meta in table.meta]
        train_side, test_side = "train", "test"
    else:
        sides = [meta["split"] for meta in table.meta]
        train_side, test_side = dataset.train, dataset.test
    train = [i for i, side in enumerate(sides) if side == train_side]
    return train, [i for i, side in enumerate(sides) if side == test_side]


def balanced_subset(instances: Sequence[int], labels: Sequence[str], *, fraction: float, seed: int) -> list[int]:
    """`fraction` of each class, at least one of each, drawn by `seed`; in the order of `instances`."""
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for label in sorted({labels[i] for i in instances}):
        members = [i for i in instances if labels[i] == label]
        chosen += [members[k] for k in rng.permutation(len(members))[: max(1, round(fraction * len(members)))]]
    kept = set(chosen)
    return [i for i in instances if i in kept]


def hold_out(
    instances: Sequence[int], labels: Sequence[str], *, share: float, seed: int
) -> tuple[list[int], list[int]]:
    """(rest, held): `share` of each class, rounded and never all of it, drawn by `seed`; both in the given order."""
    rng = np.random.default_rng([seed, 1])  # another draw than that of a fraction of the labels
    held: set[int] = set()
    for label in sorted({labels[i] for i in instances}):
        members = [i for i in instances if labels[i] == label]
        count = min(round(share * len(members)), len(members) - 1)
        held |= {members[k] for k in rng.permutation(len(members))[:count]}
    return [i for i in instances if i not in held], [i for i in instances if i in held]


def _with_held_out(data: Labelled, *, share: float, seed: int, where: str) -> Labelled:
    train, held = hold_out(data.train, data.labels, share=share, seed=seed)
    if not held:
        raise CpdError(
            f"{where}: {share:g} of the videos of each of {len(data.classes)} classes is not one video to validate on",
            hint="raise evaluate.finetune.holdout, or give milestones instead of patience",
        )
    return replace(data, train=train, held=held)


def _checked(table: SampleTable, labels: list[str], train: list[int], test: list[int], *, where: str) -> Labelled:
    for side, instances in (("training", train), ("test", test)):
        if not instances:
            raise CpdError(f"{where}: no {side} video", hint="look at the source's index.json and `cpd status`")
        unlabelled = [table.keys[i] for i in instances if not labels[i]]
        if unlabelled:
            raise CpdError(
                f"{where}: {len(unlabelled)} {side} videos have no label, first {unlabelled[0]}", hint=LEAVE_OUT
            )
    unseen = sorted({labels[i] for i in test} - {labels[i] for i in train})
    if unseen:
        raise CpdError(f"{where}: classes without a training video: {', '.join(unseen[:5])}")
    return Labelled(table=table, labels=labels, classes=sorted({labels[i] for i in train}), train=train, test=test)

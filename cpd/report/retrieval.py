"""Retrieval to look at: titles and what they found, the failures, and both runs' ranks."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpd.config import experiment
from cpd.evaluate.predictions import Ranked, Retrieved, predictions_path
from cpd.evaluate.result import parse_run
from cpd.report.choose import Measurement, predicted, shown
from cpd.report.pictures import Picture, spread, thumbnail
from cpd.report.predictions import beside_control, read_current
from cpd.report.safe import shorten
from cpd.report.shelf import Shelf, Shot

if TYPE_CHECKING:
    from cpd.config import Config

FOUND, MISSED, BACK = 4, 4, 3  # queries shown: right at once, worst, and videos that look for their title


@dataclass(frozen=True)
class Hit:
    """One answer; `match` is "right", "same class" or "" (another class, or no class known)."""

    picture: Picture
    title: str
    match: str


@dataclass(frozen=True)
class Query:
    """One query, its best five answers, and the ranks of the right one."""

    title: str
    label: str
    picture: Picture
    rank: int
    control_rank: int | None
    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class Retrieval:
    """Retrieval of the shown run on one data set.

    Attributes:
        run: which run; `control` the one beside it, None where it has no predictions.
        control: see `run`.
        dataset: name of the dataset; `split` its split.
        split: see `dataset`.
        source: the predictions shown.
        n: number of pairs.
        ranks: of every title's video, 1 is best; `control_ranks` likewise, in the same order, or [].
        control_ranks: see `ranks`.
        first: number of titles whose video came first.
        found: some of those; `missed` the worst; `back` videos that look for their title.
        missed: see `found`.
        back: see `found`.
    """

    run: str
    control: str | None
    dataset: str
    split: str
    source: str
    n: int
    ranks: list[int]
    control_ranks: list[int]
    first: int
    found: tuple[Query, ...]
    missed: tuple[Query, ...]
    back: tuple[Query, ...]


def retrievals(config: Config) -> tuple[list[Retrieval], list[str]]:
    """The retrievals of the shown run, and what is missing."""
    both = [row for row in predicted(config) if row.protocol == "retrieval"]
    own = [row for row in both if row.run == shown(config).run]
    return beside_control(config, own, both, Retrieved, _retrieval)


def recalls(ranks: list[int], ks: list[int]) -> list[float]:
    """R@k in percent for every k."""
    ordered = sorted(ranks)
    return [100.0 * bisect.bisect_right(ordered, k) / len(ordered) for k in ks]


def _retrieval(config: Config, row: Measurement, beside: Retrieved | None, *, control: str | None) -> Retrieval:
    own = read_current(config, row, Retrieved)
    other = beside.t2v.rank if beside and beside.keys == own.keys else []
    scene = _Scene(config, row, own, other)
    order = sorted(range(len(own.keys)), key=lambda i: (own.t2v.rank[i], i))
    first = [i for i in order if own.t2v.rank[i] == 1]
    worst = [i for i in reversed(order) if own.t2v.rank[i] > 1][:MISSED]
    back = spread(len(own.keys), BACK)
    return Retrieval(
        run=row.run,
        control=control if other else None,
        dataset=row.dataset,
        split=row.split,
        source=str(predictions_path(row.path)),
        n=len(own.keys),
        ranks=own.t2v.rank,
        control_ranks=other,
        first=len(first),
        found=tuple(scene.query(first[place], own.t2v) for place in spread(len(first), FOUND)),
        missed=tuple(scene.query(i, own.t2v) for i in worst),
        back=tuple(scene.query(i, own.v2t) for i in back),
    )


class _Scene:
    """What a query needs to be shown; clips are decoded once."""

    def __init__(self, config: Config, row: Measurement, own: Retrieved, control: list[int]) -> None:
        spec = config.datasets[row.dataset]
        self.shelf = Shelf(config, spec.source, spec.test)
        self.variant = experiment(config, parse_run(row.run)[0]).title
        self.own, self.control = own, control
        self._shots: dict[int, tuple[Shot, Picture]] = {}

    def query(self, i: int, ranked: Ranked) -> Query:
        shot, picture = self._shot(i)
        return Query(
            title=self._title(shot),
            label=str(shot.meta.get("label") or ""),
            picture=picture,
            rank=ranked.rank[i],
            control_rank=self.control[i] if self.control and ranked is self.own.t2v else None,
            hits=tuple(self._hit(i, j) for j in ranked.top5[i]),
        )

    def _hit(self, i: int, j: int) -> Hit:
        shot, picture = self._shot(j)
        label = shot.meta.get("label")
        same = bool(label) and label == self._shot(i)[0].meta.get("label")
        return Hit(picture, self._title(shot), "right" if i == j else "same class" if same else "")

    def _shot(self, i: int) -> tuple[Shot, Picture]:
        if i not in self._shots:
            shot = self.shelf.of(self.own.keys[i])
            self._shots[i] = (shot, thumbnail(shot))
        return self._shots[i]

    def _title(self, shot: Shot) -> str:
        return shorten(str(shot.meta.get(self.variant) or shot.meta.get("title_clean") or ""), 100)

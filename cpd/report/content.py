"""Everything the page shows, gathered from the results. What is not there yet is left empty, and the page says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, TypeVar

from tqdm import tqdm

from cpd.report import classes, cost, curves, embedding, factors, flow, provenance, retrieval, table_view, titles
from cpd.report.choose import Shown, runs, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from cpd.config import Config
    from cpd.report.classes import ByClass
    from cpd.report.cost import Cost
    from cpd.report.curves import Curve
    from cpd.report.embedding import Map
    from cpd.report.factors import Bars
    from cpd.report.flow import Flow
    from cpd.report.provenance import Weights
    from cpd.report.retrieval import Retrieval
    from cpd.report.table_view import TableView
    from cpd.report.titles import Gallery, Titles

T = TypeVar("T")


@dataclass(frozen=True)
class Content:
    """The parts of the page; `problems` says by part what could not be read.

    Attributes:
        config: the merged config.
        shown: the runs that are looked into.
        flows: of ids, by source and split.
        titles: counts of titles, by source.
        galleries: example clips, by source.
        curves: learning curves.
        tables: every table.
        measured: cells with a value, of those that are to have one.
        retrievals: queries and what they found.
        classes: accuracies by class and confusions.
        maps: of embeddings.
        factors: parts of a class told apart, by measurement.
        costs: by run.
        weights: by run; `versions` of the packages behind all results.
        versions: see `weights`.
        problems: by part.
    """

    config: Config
    shown: Shown
    flows: list[Flow]
    titles: list[Titles]
    galleries: list[Gallery]
    curves: list[Curve]
    tables: list[TableView]
    measured: tuple[int, int]
    retrievals: list[Retrieval]
    classes: list[ByClass]
    maps: list[Map]
    factors: dict[str, list[Bars]]
    costs: list[Cost]
    weights: list[Weights]
    versions: list[dict[str, str]]
    problems: dict[str, list[str]] = field(default_factory=dict)


def gather(config: Config) -> Content:
    """Read everything, with a bar on a terminal.

    Raises:
        CpdError: a file that is there is damaged (it is named), or `report` names a run that there is not.
    """
    with tqdm(total=8, unit="part", desc="report", disable=None) as bar:
        step = _Steps(bar)
        cells = step("tables", lambda: table_view.read_tables(config))
        results = step("results", lambda: table_view.read_results(cells))
        found = list(results.values())
        retrievals, no_retrieval = step("retrieval", lambda: retrieval.retrievals(config))
        by_class, no_classes = step("classes", lambda: classes.by_class(config))
        maps, no_maps = step("map", lambda: embedding.maps(config))
        return Content(
            config=config,
            shown=shown(config),
            flows=step("flow", lambda: flow.flows(config)),
            titles=step("titles", lambda: titles.counts(config)),
            galleries=step("clips", lambda: titles.galleries(config)),
            curves=curves.curves(config),
            tables=[table_view.view(config, name, cells[name], results) for name in config.tables],
            measured=table_view.measured(config, cells),
            retrievals=retrievals,
            classes=by_class,
            maps=maps,
            factors=factors.by_measurement(config, found),
            costs=cost.costs(config, _every_run(config), found),
            weights=provenance.weights(config, found),
            versions=provenance.versions(found),
            problems={"retrieval": no_retrieval, "classes": no_classes, "map": no_maps},
        )


class _Steps:
    """Runs a part and moves the bar."""

    def __init__(self, bar: tqdm[NoReturn]) -> None:
        self.bar = bar

    def __call__(self, name: str, read: Callable[[], T]) -> T:
        self.bar.set_postfix_str(name)
        found = read()
        self.bar.update()
        return found


def _every_run(config: Config) -> list[str]:
    """Runs that are selected, and those that only tables name."""
    return list(dict.fromkeys([*curves.runs(config), *runs(config)]))

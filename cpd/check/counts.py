"""How many items a result must be over: counted from the ledgers of the shards and the official folds, by key."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cpd.errors import CpdError
from cpd.evaluate.features import features_path, load
from cpd.evaluate.result import reads_features, settings_of
from cpd.fileio import read_jsonl
from cpd.sources.plan import chunk_names

if TYPE_CHECKING:
    from cpd.config import Config
    from cpd.evaluate.result import Result


class Item(NamedTuple):
    """A sample of a split: its key, whether it has a label, and its side in each fold."""

    key: str
    labelled: bool
    folds: tuple[tuple[str, str], ...]


def problems_of_counts(config: Config, result: Result) -> list[str]:
    """Whether `n` is the number of test items, without those that could not be decoded and are counted as such."""
    most = settings_of(config, result.run).retrieval.n if result.protocol == "retrieval" else sys.maxsize
    try:
        wanted = test_keys(config, result)
        failed = 0 if result.n >= min(len(wanted), most) else _failed(config, result, wanted)
    except CpdError as error:
        return [f"n is {result.n}, and {error.message}"]
    if result.n == min(len(wanted) - failed, most):
        return []
    less = f", {failed} of them not decoded" if failed else ""
    return [f"n is {result.n}, but {result.dataset}-{result.split} has {len(wanted)} test items{less}"]


def test_keys(config: Config, result: Result) -> set[str]:
    """Keys of the items that a result's split tests on, by the lists."""
    dataset = config.datasets[result.dataset]
    items = samples(Path(config.results), dataset.source, *chunk_names(config.sources[dataset.source])[dataset.test])
    if dataset.folds:
        items = tuple(item for item in items if dict(item.folds).get(result.split) == "test")
    if dataset.unlabelled == "leave_out" and result.protocol != "retrieval":
        items = tuple(item for item in items if item.labelled)
    return {item.key for item in items}


@cache
def samples(results: Path, source: str, *chunks: str) -> tuple[Item, ...]:
    """The samples of some shards, from their ledgers and the crawl's rows.

    Raises:
        CpdError: a file is missing.
    """
    folder = results / "sources" / source
    found = []
    for chunk in chunks:
        crawled = {row["id"]: row for row in read_jsonl(folder / "crawl" / f"{chunk}.jsonl")}
        kept = [row for row in read_jsonl(folder / "shards" / f"{chunk}.ledger.jsonl") if row["status"] == "ok"]
        for row in kept:
            crawl = crawled[row["id"]]
            folds = tuple((crawl.get("folds") or {}).items())
            found.append(Item(row["key"], bool(crawl.get("label")), folds))
    return tuple(found)


def _failed(config: Config, result: Result, wanted: set[str]) -> int:
    """Test items that could not be decoded: a fine-tuning counts them itself, features name them."""
    if not reads_features(result.protocol):
        return int(result.values.get("failed", 0))
    dataset = config.datasets[result.dataset]
    path = features_path(config, result.run, source=dataset.source, split=dataset.test)
    return len(wanted & {key for key, _ in load(path).failed})

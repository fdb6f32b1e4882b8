"""What became of titles: counts over all of them, and example clips with the title as written, cleaned and parsed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cpd.errors import CpdError
from cpd.report.pictures import Picture, spread, strip
from cpd.report.rows import read_rows
from cpd.report.safe import shorten
from cpd.report.shelf import Shelf, Shot

if TYPE_CHECKING:
    from cpd.config import Config

EXAMPLES = 6  # clips of a source with titles; of one without, half


class _Title(msgspec.Struct):
    status: str
    title: str
    title_clean: str = ""
    title_tree: str = ""
    cut: bool = False
    replaced: bool = False
    tree_fallback: bool = False


@dataclass(frozen=True)
class Titles:
    """Counts over the titles of one source.

    Attributes:
        source: name of the source.
        n: titles that were looked at.
        kept: of those, the ones with something left.
        changed: of the kept ones, those that cleaning changed.
        fallback: of the kept ones, those without verb or noun, whose title-tree is their title-clean.
        cut: titles that were shortened; `replaced` those in which broken characters were mended.
        replaced: see `cut`.
        words: mean words of kept titles as written, cleaned, parsed.
    """

    source: str
    n: int
    kept: int
    changed: int
    fallback: int
    cut: int
    replaced: int
    words: tuple[float, float, float]


@dataclass(frozen=True)
class Example:
    """One clip and its titles; `label` where it has one."""

    picture: Picture
    title: str
    title_clean: str
    title_tree: str
    label: str


@dataclass(frozen=True)
class Gallery:
    """Example clips of one source; `problem` says why there are none."""

    source: str
    total: int
    examples: tuple[Example, ...]
    has_titles: bool
    problem: str = ""


def counts(config: Config) -> list[Titles]:
    """The counts of every source with parsed titles.

    Raises:
        CpdError: a line is not a row.
    """
    found = [_counts(config, name) for name, source in config.sources.items() if source.text]
    return [titles for titles in found if titles.n]


def galleries(config: Config) -> list[Gallery]:
    """Example clips of every source that has shards, evenly spread over its first split."""
    return [_gallery(config, name) for name in config.sources if _index(config, name).is_file()]


def _index(config: Config, source: str) -> Path:
    return Path(config.results) / "sources" / source / "shards" / "index.json"


def _counts(config: Config, source: str) -> Titles:
    paths = sorted((Path(config.results) / "sources" / source / "tree").glob("*.jsonl"))
    rows = [row for path in paths for row in read_rows(path, _Title)]
    kept = [row for row in rows if row.status == "ok"]
    words = [[len(text.split()) for text in (row.title, row.title_clean, row.title_tree)] for row in kept]
    raw, clean, tree = (sum(column) / len(kept) for column in zip(*words, strict=True)) if kept else (0.0, 0.0, 0.0)
    return Titles(
        source=source,
        n=len(rows),
        kept=len(kept),
        changed=sum(row.title != row.title_clean for row in kept),
        fallback=sum(row.tree_fallback for row in kept),
        cut=sum(row.cut for row in rows),
        replaced=sum(row.replaced for row in rows),
        words=(raw, clean, tree),
    )


def _gallery(config: Config, name: str) -> Gallery:
    source = config.sources[name]
    try:
        shelf = Shelf(config, name, next(iter(source.pairs)))
        wanted = spread(len(shelf), EXAMPLES if source.text else EXAMPLES // 2)
        examples = tuple(_example(shelf.at(instance)) for instance in wanted)
    except CpdError as error:
        return Gallery(name, 0, (), source.text, problem=str(error))
    return Gallery(name, len(shelf), examples, source.text)


def _example(shot: Shot) -> Example:
    texts = [shorten(str(shot.meta.get(key) or "")) for key in ("title", "title_clean", "title_tree", "label")]
    return Example(strip(shot), *texts)

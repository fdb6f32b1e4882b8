"""The rows of title-clean and title-tree: crawl rows in, one row per id that is ok out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from cpd.config import Text
from cpd.errors import CpdError
from cpd.fileio import read_jsonl, write_jsonl
from cpd.sources.lists import valid_text
from cpd.text.clean import clean

if TYPE_CHECKING:
    from cpd.config import Config
    from cpd.text.tree import Tree, TreeParser

Row = dict[str, Any]


def chunk_path(config: Config, source: str, stage: str, chunk: str) -> Path:
    """`{results}/sources/{source}/{stage}/{chunk}.jsonl`.

    Raises:
        CpdError: the config has no such source.
    """
    if source not in config.sources:
        raise CpdError(f"sources has no {source!r}", hint=f"known: {', '.join(sorted(config.sources))}")
    return Path(config.results) / "sources" / source / stage / f"{chunk}.jsonl"


def clean_chunk(config: Config, source: str, chunk: str) -> list[Row]:
    """Clean the titles of a chunk: reads its `crawl` rows, writes its `clean` rows and returns them.

    Raises:
        CpdError: the crawl file is missing, or a row that is ok has no id or no title.
    """
    path = chunk_path(config, source, "crawl", chunk)
    crawled = [_checked(row, path) for row in read_jsonl(path) if _field(row, "status", path) == "ok"]
    bar = tqdm(crawled, desc=f"title-clean {source}/{chunk}", unit="title", disable=None)
    rows = [clean_row(row, config.text) for row in bar]
    write_jsonl(chunk_path(config, source, "clean", chunk), rows)
    return rows


def clean_row(row: Row, settings: Text) -> Row:
    """id, title, title_clean, status (`ok` or `empty_text`), reason, `cut` and `replaced`.

    `cut`: the title was longer than `max_chars`. `replaced`: it holds U+FFFD, which stands where its bytes were no
    text; lone surrogates become that here, since no file can hold them.
    """
    title = valid_text(row["title"])
    cleaned = clean(title, settings)
    return {
        "id": row["id"],
        "title": title,
        "title_clean": cleaned.text,
        "status": "empty_text" if cleaned.reason else "ok",
        "reason": cleaned.reason,
        "cut": cleaned.cut,
        "replaced": "\ufffd" in title,
    }


def tree_chunk(config: Config, source: str, chunk: str, parser: TreeParser, *, digest: str) -> list[Row]:
    """Parse the titles of a chunk: reads its `clean` rows, writes its `tree` rows and returns them.

    Args:
        config: the config.
        source: name of the source.
        chunk: name of the chunk.
        parser: the models.
        digest: what they and their options are (`models.parser_digest`), kept in every row.

    Raises:
        CpdError: the clean file is missing, or one of its rows lacks a key.
    """
    rows = _clean_rows(config, source, chunk)
    trees = parser.parse([row["title_clean"] for row in rows])
    parsed = [{**tree_row(row, tree), "parser": digest} for row, tree in zip(rows, trees, strict=True)]
    write_jsonl(chunk_path(config, source, "tree", chunk), parsed)
    return parsed


def parsed_chunk(config: Config, source: str, chunk: str, *, digest: str) -> list[Row] | None:
    """The `tree` rows of a chunk that a run before has parsed from the same titles in the same way, or None.

    Raises:
        CpdError: the clean file is missing or damaged. A damaged tree file is none.
    """
    rows = _clean_rows(config, source, chunk)
    path = chunk_path(config, source, "tree", chunk)
    try:
        parsed = read_jsonl(path) if path.is_file() else []
    except (CpdError, UnicodeDecodeError):
        return None
    titles = [(row["id"], row["title"], row["title_clean"], digest) for row in rows]
    known = all(isinstance(row, dict) for row in parsed)
    found = [tuple(row.get(key) for key in _TREE_KEYS) for row in parsed] if known else None
    return parsed if path.is_file() and found == titles else None


def _clean_rows(config: Config, source: str, chunk: str) -> list[Row]:
    path = chunk_path(config, source, "clean", chunk)
    rows = read_jsonl(path)
    for row in rows:
        for key in ("id", "title", "title_clean"):
            _field(row, key, path)
    return rows


def tree_row(row: Row, tree: Tree) -> Row:
    """The clean row with `title_tree` and `tree_fallback`; `empty_text` where the parser failed on the title."""
    failed = {"status": "empty_text", "reason": f"parse_failed: {tree.error}"} if tree.error else {}
    return {**row, "title_tree": tree.text, "tree_fallback": tree.fallback, **failed}


def summary(source: str, chunk: str, rows: list[Row]) -> str:
    """One line: how many rows are ok, and why the others are not."""
    reasons = Counter(str(row["reason"]).split(":")[0] for row in rows if row["status"] != "ok")
    told = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
    ok = len(rows) - sum(reasons.values())
    return f"{source}/{chunk}: {len(rows)} titles, {ok} ok" + (f" ({told})" if told else "")


def _checked(row: Row, path: Path) -> Row:
    title = _field(row, "title", path)
    if not isinstance(title, str):
        raise CpdError(f"{path}: title of {_field(row, 'id', path)!r} is {title!r}, not text", hint=_CRAWL)
    return row


def _field(row: Row, name: str, path: Path) -> Any:
    if name not in row:
        raise CpdError(f"{path}: a row has no {name!r}: {str(row)[:200]}", hint=_CRAWL)
    return row[name]


_TREE_KEYS = ("id", "title", "title_clean", "parser")
_CRAWL = "delete the file and run its rule again"

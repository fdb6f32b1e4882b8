"""Own videos: a csv with columns `file,title`, and optionally `label,split,start,end`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cpd.errors import CpdError
from cpd.sources.lists import Row, read_csv, safe_id
from cpd.sources.pair import Pair

if TYPE_CHECKING:
    from cpd.config import Source


def read(name: str, source: Source) -> dict[str, list[Pair]]:
    """Read {split: csv}; `file` is relative to `videos`, or to the csv's folder.

    A csv with a column `split` gives to each split of `lists` its own rows (so one csv may be named under several
    splits), and all of its rows to a split named `all`. The id is what is safe of the file's name and a short hash
    of the cell `file`, and of the interval where there is one (a file may hold several clips).
    """
    return {
        split: [_pair(row, name=name, split=split, root=_root(path, source)) for row in _rows(path, split, source)]
        for split, path in source.lists.items()
    }


def _root(path: str, source: Source) -> Path:
    return Path(source.videos) if source.videos else Path(path).parent


def _rows(path: str, split: str, source: Source) -> list[Row]:
    rows = read_csv(path, columns=("file", "title"))
    if split == "all" or "split" not in rows[0].cells:
        return rows
    for row in rows:
        if row.cells["split"] not in source.lists:
            raise CpdError(
                f"{row.where}: split {row.cells['split']!r} is not in `lists` ({', '.join(source.lists)})",
                hint="add it to `lists` and `pairs`, or take all rows with lists: {all: ...}",
            )
    return [row for row in rows if row.cells["split"] == split]


def _pair(row: Row, *, name: str, split: str, root: Path) -> Pair:
    file = row.cells["file"]
    if not file.strip():
        raise CpdError(f"{row.where}: column 'file' is empty", hint="name the media file of this title")
    start, end = row.cells.get("start", "").strip(), row.cells.get("end", "").strip()
    interval = f"\n{start}\n{end}" if start or end else ""
    return Pair(
        id=safe_id(Path(file).stem, unique=file + interval),
        source=name,
        split=split,
        path=str(root / file),
        start=row.number("start") if start else 0.0,
        end=row.number("end") if end else None,
        title=row.cells["title"],
        label=row.cells.get("label", ""),
    )

"""HMDB51's official lists: CLASS_test_split1..3.txt, lines `file.avi N` with 1 train, 2 test, 0 unused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from cpd.errors import CpdError
from cpd.sources.lists import read_lines, safe_id
from cpd.sources.pair import Pair

if TYPE_CHECKING:
    from cpd.config import Source

_NAME = re.compile(r"(.+)_test_split([123])\.txt\Z")
_MEMBER = {"0": "", "1": "train", "2": "test"}


def read(name: str, source: Source) -> dict[str, list[Pair]]:
    """Read {all: folder of the lists}; `videos` holds `class/file.avi`.

    File names hold signs such as `#`, `!` and `[`: the id is what is safe of them and a short hash.
    """
    if source.videos is None or set(source.lists) != {"all"}:
        raise CpdError(f"sources.{name}: kind hmdb51 needs `videos` and lists: {{all: FOLDER}}")
    folds = _folds(Path(source.lists["all"]))
    return {"all": [_pair(file, members, name=name, videos=source.videos) for file, members in folds.items()]}


def _folds(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    """{(class, file): {fold: train | test}}; files that a fold does not use have no entry for it."""
    folds: dict[tuple[str, str], dict[str, str]] = {}
    for label, lists in sorted(_lists(folder).items()):
        for fold, path in sorted(lists.items()):
            for number, line in read_lines(path):
                file, member = _line(line, where=f"{path}:{number}")
                members = folds.setdefault((label, file), {})
                if member:
                    members[fold] = member
    return folds


def _lists(folder: Path) -> dict[str, dict[str, Path]]:
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*_test_split*.txt")):
        if match := _NAME.match(path.name):
            found.setdefault(match[1], {})[match[2]] = path
    if not found:
        raise CpdError(f"{folder}: no CLASS_test_splitN.txt in it", hint="mend `lists` of the source")
    for label, lists in found.items():
        if len(lists) != 3:
            raise CpdError(f"{folder}: class {label!r} has lists for folds {sorted(lists)}, not for 1, 2 and 3")
    return found


def _line(line: str, *, where: str) -> tuple[str, str]:
    cells = line.strip().rsplit(maxsplit=1)
    if len(cells) != 2 or cells[1] not in _MEMBER or "/" in cells[0]:
        raise CpdError(f"{where}: {line[:80]!r}", hint="a line is: file.avi N, with N 0, 1 or 2")
    return cells[0], _MEMBER[cells[1]]


def _pair(file: tuple[str, str], folds: dict[str, str], *, name: str, videos: str) -> Pair:
    label, base = file
    return Pair(
        id=safe_id(Path(base).stem, unique=f"{label}/{base}"),
        source=name,
        split="all",
        path=f"{videos}/{label}/{base}",
        label=label,
        folds=folds,
    )

"""Media that lie in a folder, found by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cpd.errors import CpdError

SUFFIXES = frozenset({".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".3gp"})
_CUT = re.compile(r"(.+)_(\d{6})_(\d{6})\Z")  # ID_000011_000021, the form of the public Kinetics copies


@dataclass(frozen=True)
class Found:
    """A media file, and whether its name says that it is already cut to the clip."""

    path: str
    is_cut: bool = False


def index_folder(folder: str | Path) -> dict[str, Found]:
    """Every media file below `folder` by the stem of its name (`ID_000011_000021.mp4` also as `ID`).

    Raises:
        CpdError: the folder is missing, or two files would be one id.
    """
    root = Path(folder)
    if not root.is_dir():
        raise CpdError(f"{root}: no such folder", hint="mend `videos` of the source")
    found: dict[str, Found] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            cut = _CUT.match(path.stem)
            _add(found, cut[1] if cut else path.stem, Found(str(path), bool(cut)))
    return found


def _add(found: dict[str, Found], stem: str, item: Found) -> None:
    if stem in found:
        raise CpdError(f"{found[stem].path} and {item.path} have the same id {stem!r}", hint="keep one of them")
    found[stem] = item

"""UCF101's official lists: classInd.txt and trainlist01..03, testlist01..03 (101 classes, 3 folds)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cpd.errors import CpdError
from cpd.sources.lists import read_lines
from cpd.sources.pair import ID, Pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from cpd.config import Source

_FOLDS = ("1", "2", "3")


def read(name: str, source: Source) -> dict[str, list[Pair]]:
    """Read {all: folder of the lists}; `videos` holds `Class/v_Class_gXX_cYY.avi`.

    The label is the folder's name in the lists: the file names of HandstandPushups say `HandStandPushups`.
    """
    if source.videos is None or set(source.lists) != {"all"}:
        raise CpdError(f"sources.{name}: kind ucf101 needs `videos` and lists: {{all: FOLDER}}")
    folder = Path(source.lists["all"])
    classes = _classes(folder / "classInd.txt")
    folds = _folds(folder, classes)
    on_disk = _folders_on_disk(Path(source.videos))
    return {"all": [_pair(file, members, name=name, on_disk=on_disk) for file, members in folds.items()]}


def _folders_on_disk(videos: Path) -> Callable[[str], Path]:
    """Class -> its folder; copies of the set disagree on the case of HandstandPushups."""
    folders = {path.name.lower(): path for path in videos.iterdir()} if videos.is_dir() else {}
    return lambda label: folders.get(label.lower(), videos / label)


def _classes(path: Path) -> dict[str, int]:
    classes = {}
    for number, line in read_lines(path):
        cells = line.split()
        if len(cells) != 2 or not cells[0].isdecimal():
            raise CpdError(f"{path}:{number}: {line[:80]!r}", hint="a line is: number class")
        classes[cells[1]] = int(cells[0])
    return classes


def _folds(folder: Path, classes: dict[str, int]) -> dict[str, dict[str, str]]:
    """{Class/file: {fold: train | test}} over the six lists."""
    folds: dict[str, dict[str, str]] = {}
    for fold in _FOLDS:
        for member in ("train", "test"):
            path = folder / f"{member}list0{fold}.txt"
            for number, line in read_lines(path):
                file = _checked_file(line, classes, where=f"{path}:{number}")
                if folds.setdefault(file, {}).setdefault(fold, member) != member:
                    raise CpdError(f"{path}:{number}: {file} is in train and test of fold {fold}")
    return folds


def _checked_file(line: str, classes: dict[str, int], *, where: str) -> str:
    """The file of a line, its class checked against classInd and the number behind it."""
    cells = line.split()
    parts = PurePosixPath(cells[0]).parts
    if len(parts) != 2 or parts[0] not in classes or not ID.match(PurePosixPath(cells[0]).stem):
        raise CpdError(f"{where}: {line[:80]!r} is not Class/file.avi of a class in classInd.txt")
    if len(cells) == 2 and cells[1] != str(classes[parts[0]]):
        raise CpdError(f"{where}: class number {cells[1]}, classInd.txt says {classes[parts[0]]} for {parts[0]}")
    return cells[0]


def _pair(file: str, folds: dict[str, str], *, name: str, on_disk: Callable[[str], Path]) -> Pair:
    label, base = file.split("/")
    path = str(on_disk(label) / base)
    return Pair(id=PurePosixPath(base).stem, source=name, split="all", path=path, label=label, folds=folds)

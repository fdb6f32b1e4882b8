"""LSMDC 2016's annotations: CLIP_ID, four times and the sentence, tab separated; the clips are on disk."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cpd.errors import CpdError
from cpd.sources.disk import Found, index_folder
from cpd.sources.lists import read_tabbed, safe_id
from cpd.sources.pair import Pair

if TYPE_CHECKING:
    from cpd.config import Source

_TIMES = re.compile(r"_\d\d\.\d\d\.\d\d\.\d{3}-\d\d\.\d\d\.\d\d\.\d{3}\Z")


def read(name: str, source: Source) -> dict[str, list[Pair]]:
    """Read {split: annotation csv}; `videos` holds `MOVIE/CLIP_ID.avi`, already cut.

    With {train: FOLDER, val: FOLDER} the folder's three annotation files are divided as the paper does: `pairs.val`
    (1,000) clips of the test file are `val`, everything else is `train`.

    A clip may have several sentences, each a pair, so the id is made of clip and sentence. The blind test has no
    sentence: its titles are "".
    """
    if source.videos is None:
        raise CpdError(f"sources.{name}: kind lsmdc needs `videos`", hint="the folder with the clips")
    media = index_folder(source.videos)
    return {
        split: [_pair(line, name=name, split=split, videos=source.videos, media=media) for line in lines]
        for split, lines in _lines(name, source).items()
    }


def _lines(name: str, source: Source) -> dict[str, list[_Line]]:
    folders = {path for path in source.lists.values() if Path(path).is_dir()}
    if not folders:
        return {split: _read(path) for split, path in source.lists.items()}
    if set(source.lists) != {"train", "val"} or set(source.lists.values()) != folders or len(folders) > 1:
        raise CpdError(f"sources.{name}.lists: a folder is for both splits", hint="{train: FOLDER, val: FOLDER}")
    return _divided(Path(folders.pop()), reserved=source.pairs["val"])


def _divided(folder: Path, *, reserved: int) -> dict[str, list[_Line]]:
    """The paper's division; which clips are reserved depends on their names alone, not on their order.

    Clips with one sentence are taken, so that no video is on both sides and `val` has as many videos as pairs.
    """
    training, validation, test = (_read(_annotations(folder, part)) for part in ("training", "val", "test"))
    sentences = Counter(line.clip for line in test)
    single = sorted((clip for clip, count in sentences.items() if count == 1), key=_draw)
    if len(single) < reserved:
        raise CpdError(
            f"{folder}: the test file has {len(single)} clips with one sentence, pairs.val asks for {reserved}",
            hint="is the file whole? LSMDC 2016 has 10,053 lines in it",
        )
    val = set(single[:reserved])
    rest = [line for line in test if line.clip not in val]
    return {"train": training + validation + rest, "val": [line for line in test if line.clip in val]}


def _draw(clip: str) -> str:
    return hashlib.sha256(clip.encode()).hexdigest()


def _annotations(folder: Path, part: str) -> Path:
    found = sorted([*folder.glob(f"*annos_{part}.csv"), *folder.glob(f"*annos_{part}_someone.csv")])
    if len(found) != 1:
        raise CpdError(
            f"{folder}: {len(found)} files are named *annos_{part}.csv or *annos_{part}_someone.csv, one is needed",
            hint="put LSMDC16_annos_training.csv, LSMDC16_annos_val.csv and LSMDC16_annos_test.csv there",
        )
    return found[0]


@dataclass(frozen=True)
class _Line:
    clip: str
    sentence: str


def _read(path: str | Path) -> list[_Line]:
    """The lines of an annotation file, each checked."""
    return [_checked(line, where=f"{path}:{number}") for number, line in read_tabbed(path)]


def _checked(line: str, *, where: str) -> _Line:
    cells = [cell.strip() for cell in line.split("\t")]
    if len(cells) not in (5, 6):
        raise CpdError(
            f"{where}: {len(cells)} tab separated columns: {line[:80]!r}",
            hint="a line is CLIP_ID, START_ALIGNED, END_ALIGNED, START_EXTRACTED, END_EXTRACTED, SENTENCE",
        )
    if not cells[0] or "/" in cells[0] or "\0" in cells[0]:
        raise CpdError(f"{where}: CLIP_ID is {cells[0]!r}", hint="a clip's id is its file name without .avi")
    return _Line(cells[0], cells[5] if len(cells) == 6 else "")


def _pair(line: _Line, *, name: str, split: str, videos: str, media: dict[str, Found]) -> Pair:
    movie = _TIMES.sub("", line.clip)
    path = media.get(line.clip, Found(f"{videos}/{movie}/{line.clip}.avi")).path
    identity = safe_id(line.clip, unique=f"{line.clip}\n{line.sentence}")
    return Pair(id=identity, source=name, split=split, path=path, title=line.sentence)

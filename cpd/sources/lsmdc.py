"""LSMDC 2016's annotations: CLIP_ID, four times and the sentence, tab separated; the clips are on disk."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cpd.errors import CpdError
from cpd.sources.disk import Found, index_folder
from cpd.sources.lists import read_lines, safe_id
from cpd.sources.pair import Pair

if TYPE_CHECKING:
    from cpd.config import Source

_TIMES = re.compile(r"_\d\d\.\d\d\.\d\d\.\d{3}-\d\d\.\d\d\.\d\d\.\d{3}\Z")


def read(name: str, source: Source) -> dict[str, list[Pair]]:
    """Read {split: annotation csv}; `videos` holds `MOVIE/CLIP_ID.avi`, already cut.

    A clip may have several sentences, each a pair, so the id is made of clip and sentence. The blind test has no
    sentence: its titles are "".
    """
    if source.videos is None:
        raise CpdError(f"sources.{name}: kind lsmdc needs `videos`", hint="the folder with the clips")
    media = index_folder(source.videos)
    return {
        split: [
            _pair(line, where=f"{path}:{number}", name=name, split=split, videos=source.videos, media=media)
            for number, line in read_lines(path)
        ]
        for split, path in source.lists.items()
    }


def _pair(line: str, *, where: str, name: str, split: str, videos: str, media: dict[str, Found]) -> Pair:
    cells = line.split("\t")
    if len(cells) not in (5, 6):
        raise CpdError(
            f"{where}: {len(cells)} tab separated columns: {line[:80]!r}",
            hint="a line is CLIP_ID, START_ALIGNED, END_ALIGNED, START_EXTRACTED, END_EXTRACTED, SENTENCE",
        )
    clip, title = cells[0].strip(), cells[5].strip() if len(cells) == 6 else ""
    if not clip or "/" in clip or "\0" in clip:
        raise CpdError(f"{where}: CLIP_ID is {clip!r}", hint="a clip's id is its file name without .avi")
    movie = _TIMES.sub("", clip)
    path = media.get(clip, Found(f"{videos}/{movie}/{clip}.avi")).path
    return Pair(id=safe_id(clip, unique=f"{clip}\n{title}"), source=name, split=split, path=path, title=title)

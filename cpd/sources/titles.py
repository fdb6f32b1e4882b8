"""The authors' title lists: lines `video_id<TAB>processed<TAB>original` (PAPER section 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.errors import CpdError
from cpd.sources.disk import Found, index_folder
from cpd.sources.ids import is_valid, page_url
from cpd.sources.lists import read_tabbed
from cpd.sources.pair import Pair

if TYPE_CHECKING:
    from cpd.config import Source


def read(name: str, source: Source) -> dict[str, list[Pair]]:
    """Read {split: list}. The original title is kept: cleaning is a stage of its own.

    Media come from `videos` (`ID.mp4`, or cut as `ID_000011_000021.mp4`) or else are crawled from `url`.
    """
    media = index_folder(source.videos) if source.videos else None
    return {
        split: [
            _pair(line, where=f"{path}:{number}", name=name, split=split, source=source, media=media)
            for number, line in read_tabbed(path)
        ]
        for split, path in source.lists.items()
    }


def _pair(line: str, *, where: str, name: str, split: str, source: Source, media: dict[str, Found] | None) -> Pair:
    cells = line.split("\t", 2)
    if len(cells) < 2:
        raise CpdError(
            f"{where}: {len(cells)} column: {line[:80]!r}", hint="a line is video_id<TAB>processed<TAB>original"
        )
    identity, path = cells[0], ""
    if media is not None and is_valid(identity, source):
        path = media.get(identity, Found(f"{source.videos}/{identity}.mp4")).path
    url = "" if media is not None else page_url(identity, source)
    return Pair(id=identity, source=name, split=split, url=url, path=path, title=cells[-1])

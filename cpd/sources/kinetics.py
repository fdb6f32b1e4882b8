"""Kinetics' official csv: `label,youtube_id,time_start,time_end,split[,is_cc]`; the test list has no label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.sources.disk import Found, index_folder
from cpd.sources.ids import is_valid, page_url
from cpd.sources.lists import Row, read_csv
from cpd.sources.pair import Pair

if TYPE_CHECKING:
    from cpd.config import Source


def read(name: str, source: Source) -> dict[str, list[Pair]]:
    """Read {split: csv}. The key in `lists` names the split; the csv's own split column is not used.

    With `videos` the media are looked up there by id (`ID.mp4`, or cut to the clip as `ID_000011_000021.mp4`)
    instead of being crawled; they then carry no title.
    """
    media = index_folder(source.videos) if source.videos else None
    return {
        split: [
            _pair(row, name=name, split=split, source=source, media=media)
            for row in read_csv(path, columns=("youtube_id", "time_start", "time_end"))
        ]
        for split, path in source.lists.items()
    }


def _pair(row: Row, *, name: str, split: str, source: Source, media: dict[str, Found] | None) -> Pair:
    identity = row.cells["youtube_id"]
    start, end = row.number("time_start"), row.number("time_end")
    path = ""
    if media is not None and is_valid(identity, source):
        found = media.get(identity, Found(f"{source.videos}/{identity}.mp4"))
        path = found.path
        if found.is_cut:
            start, end = 0.0, end - start
    return Pair(
        id=identity,
        source=name,
        split=split,
        url="" if media is not None else page_url(identity, source),
        path=path,
        start=start,
        end=end,
        label=row.cells.get("label", ""),
    )

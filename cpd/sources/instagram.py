"""Instagram-300k's json: `{id: {"subset": "training" | "validation", "caption": ...}}` (the authors' repository)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from cpd.errors import CpdError
from cpd.sources.disk import Found, index_folder
from cpd.sources.ids import is_valid, page_url
from cpd.sources.lists import read_text, valid_text
from cpd.sources.pair import Pair

if TYPE_CHECKING:
    from cpd.config import Source

_SUBSETS = {"training": "train", "validation": "val"}
_PREFIX = "trimmed_resize_"  # the authors' name of a clip that is cut and scaled


class _Object(list[tuple[str, Any]]):
    """A JSON object as its members in order: json would keep only the last of two equal keys, and say nothing."""


def read(name: str, source: Source) -> dict[str, list[Pair]]:
    """Read {split: json}; one file may be named under several splits.

    Split `train` takes the subset `training`, `val` takes `validation`, and `all` takes both. The caption is the
    title. A clip is `ID.mp4` or `trimmed_resize_ID.mp4` below `videos`; without `videos` its address is the entry's
    own `url` where it has one, else the source's.
    """
    unknown = sorted(set(source.lists) - {*_SUBSETS.values(), "all"})
    if unknown:
        raise CpdError(f"sources.{name}.lists: no subset for split {unknown[0]!r}", hint="name it train, val or all")
    media = index_folder(source.videos) if source.videos else None
    entries = {path: _entries(path) for path in dict.fromkeys(source.lists.values())}
    return {
        split: [
            _pair(identity, entry, name=name, split=split, source=source, media=media)
            for identity, entry in entries[path]
            if split in ("all", _SUBSETS[entry["subset"]])
        ]
        for split, path in source.lists.items()
    }


def _entries(path: str) -> list[tuple[str, dict[str, str]]]:
    """(id, {subset, caption, url}) in the order of the file.

    Raises:
        CpdError: the file is no such json (cut short, another form), or an entry is not in the form; it is named.
    """
    try:
        value = json.loads(read_text(path), object_pairs_hook=_Object)
    except (ValueError, RecursionError) as error:
        raise CpdError(f"{path}: not JSON: {error}", hint="was the file cut short? fetch it again") from None
    if not isinstance(value, _Object) or not value:
        raise CpdError(f"{path}: not a JSON object with entries", hint=_FORM)
    return [(valid_text(identity), _entry(entry, where=f"{path}: {identity[:80]!r}")) for identity, entry in value]


def _entry(value: Any, *, where: str) -> dict[str, str]:
    members = dict(value) if isinstance(value, _Object) else {}
    subset, caption, url = members.get("subset"), members.get("caption"), members.get("url")
    if not isinstance(subset, str) or subset not in _SUBSETS:
        raise CpdError(f"{where}: subset is {subset!r:.80}, not one of {', '.join(_SUBSETS)}", hint=_FORM)
    if not isinstance(caption, str | None):
        raise CpdError(f"{where}: caption is {caption!r:.80}, not text", hint=_FORM)
    return {"subset": subset, "caption": valid_text(caption or ""), "url": _checked_url(url, where=where)}


def _checked_url(url: Any, *, where: str) -> str:
    """An entry's own address, if it has one: a web address, nothing that would make the crawl read local files."""
    if url is None:
        return ""
    if not isinstance(url, str) or not _WEB.fullmatch(url):
        raise CpdError(f"{where}: url is {url!r:.80}, not a web address", hint="https://host/path, or no url at all")
    return url


def _pair(
    identity: str, entry: dict[str, str], *, name: str, split: str, source: Source, media: dict[str, Found] | None
) -> Pair:
    path, url = "", ""
    if media is None:
        url = _address(identity, entry, source)
    elif is_valid(identity, source):
        default = Found(f"{source.videos}/{identity}.mp4")
        path = (media.get(identity) or media.get(_PREFIX + identity) or default).path
    return Pair(id=identity, source=name, split=split, url=url, path=path, title=entry["caption"])


def _address(identity: str, entry: dict[str, str], source: Source) -> str:
    """The entry's own address or the source's; "" when the id is not valid."""
    if not entry["url"]:
        return page_url(identity, source)
    return entry["url"] if is_valid(identity, source) else ""


_WEB = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]+|:\{port\})?(?:/[!-~]*)?")
_FORM = 'the form is {"ID": {"subset": "training", "caption": "..."}, ...}'

"""From the official lists to pairs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from cpd.errors import CpdError
from cpd.fileio import sha256_file
from cpd.sources import folder, hmdb51, instagram, kinetics, lsmdc, titles, ucf101
from cpd.sources.ids import is_valid

if TYPE_CHECKING:
    from cpd.config import Source
    from cpd.sources.pair import Pair

log = logging.getLogger(__name__)


def read_pairs(name: str, source: Source) -> dict[str, list[Pair]]:
    """Read the lists of a source: split -> pairs, in the order of the list.

    An id that is not valid keeps its row (with neither url nor path), so that it is accounted for later. The same
    row twice counts once.

    Raises:
        CpdError: a list is missing, unreadable, not in its format or not the one whose digest the config has; an
            id has two different rows, or is in two splits.
    """
    _check_digests(name, source)
    pairs = {split: _unique(rows, source) for split, rows in _read(name, source).items()}
    _check_disjoint(name, pairs, source)
    return pairs


def _read(name: str, source: Source) -> dict[str, list[Pair]]:
    match source.kind:
        case "kinetics":
            return kinetics.read(name, source)
        case "titles":
            return titles.read(name, source)
        case "folder":
            return folder.read(name, source)
        case "lsmdc":
            return lsmdc.read(name, source)
        case "instagram":
            return instagram.read(name, source)
        case "ucf101":
            return ucf101.read(name, source)
        case "hmdb51":
            return hmdb51.read(name, source)


def _check_digests(name: str, source: Source) -> None:
    for split, wanted in source.sha256.items():
        path = Path(source.lists[split])
        if not path.is_file():
            raise CpdError(f"{path}: no such file", hint=f"sources.{name}.sha256 is for lists that are one file")
        if (found := sha256_file(path)) != wanted.lower():
            raise CpdError(
                f"{path}: SHA-256 is {found}, sources.{name}.sha256 says {wanted}",
                hint="was it cut short or changed? fetch it again, or set the digest of the new list",
            )


def _unique(rows: list[Pair], source: Source) -> list[Pair]:
    unique: dict[str, Pair] = {}
    for pair in rows:
        kept = unique.setdefault(pair.id, pair)
        if kept != pair and is_valid(pair.id, source):
            raise CpdError(
                f"sources.{pair.source}: id {pair.id!r} has two different rows in split {pair.split!r}: "
                f"{_differences(kept, pair)}",
                hint="keep one of them in the list",
            )
    if len(unique) < len(rows):
        log.warning("%s: %d rows say what another row says; counted once", rows[0].source, len(rows) - len(unique))
    return list(unique.values())


def _differences(one: Pair, two: Pair) -> str:
    fields = [name for name in one.__struct_fields__ if getattr(one, name) != getattr(two, name)]
    return ", ".join(f"{name} {getattr(one, name)!r} and {getattr(two, name)!r}" for name in fields)


def _check_disjoint(name: str, pairs: dict[str, list[Pair]], source: Source) -> None:
    seen: dict[str, str] = {}
    for split, rows in pairs.items():
        for pair in rows:
            if seen.setdefault(pair.id, split) != split and is_valid(pair.id, source):
                raise CpdError(
                    f"sources.{name}: id {pair.id!r} is in the splits {seen[pair.id]!r} and {split!r}",
                    hint="a pair may train or be held out, not both",
                )

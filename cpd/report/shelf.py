"""Single samples out of the shards of a split, by place or by key; only the shards they are in are opened."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpd.errors import CpdError
from cpd.shards.members import Sample, read_samples
from cpd.shards.records import Entry, parse_meta, read_index, read_sidecar

if TYPE_CHECKING:
    from cpd.config import Config


@dataclass(frozen=True)
class Shot:
    """One sample: its KEY.json, and its clip as mp4."""

    meta: dict[str, Any]
    video: bytes


class Shelf:
    """The samples of one split of a source.

    Raises:
        CpdError: there is no such split, or a shard is missing or damaged (when it is opened).
    """

    def __init__(self, config: Config, source: str, split: str) -> None:
        self.folder = Path(config.results) / "sources" / source / "shards"
        splits = read_index(self.folder)
        if split not in splits:
            raise CpdError(f"{self.folder}/index.json has no split {split!r}", hint=f"it has {', '.join(splits)}")
        self.entries: list[Entry] = splits[split]["shards"]
        self._open: dict[str, list[Sample]] = {}

    def __len__(self) -> int:
        return sum(entry["n"] for entry in self.entries)

    def at(self, instance: int) -> Shot:
        """The sample of an instance index."""
        entry = next(e for e in self.entries if e["offset"] <= instance < e["offset"] + e["n"])
        return self._read(entry["name"], instance - entry["offset"])

    def of(self, key: str) -> Shot:
        """The sample of a key.

        Raises:
            CpdError: no shard of the split has it.
        """
        if key not in self._places:
            raise CpdError(f"{self.folder}: no sample {key}", hint="the shards are newer than what names it; run again")
        return self._read(*self._places[key])

    @cached_property
    def _places(self) -> dict[str, tuple[str, int]]:
        sidecars = {entry["name"]: read_sidecar(self.folder / f"{entry['name']}.tar") for entry in self.entries}
        return {key: (name, row) for name, sidecar in sidecars.items() for row, key in enumerate(sidecar["keys"])}

    def _read(self, name: str, row: int) -> Shot:
        path = self.folder / f"{name}.tar"
        if name not in self._open:
            self._open[name] = read_samples(path)
        sample = self._open[name][row]
        with path.open("rb") as handle:
            meta, video = (_range(handle, *place) for place in (sample.meta, sample.video))
        return Shot(parse_meta(meta, where=f"{path}: {sample.key}.json"), video)


def _range(handle: Any, offset: int, size: int) -> bytes:
    handle.seek(offset)
    data: bytes = handle.read(size)
    return data

"""Random access into the shards of one or more sources, by instance index."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cpd.errors import CpdError
from cpd.shards.members import Sample, read_samples
from cpd.shards.records import Entry, parse_meta, read_index
from cpd.shards.stage import staged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from numpy.typing import NDArray

_OPEN_FILES = 64


class VideoStore:
    """Byte ranges of every clip, and the bytes on demand. Small, and pickles to workers without its open files.

    Attributes:
        shards: shard files.
        range_N3: shard number, offset and size of every instance, int64 (N, 3).
    """

    def __init__(self, shards: list[Path], range_N3: NDArray[np.int64]) -> None:
        self.shards = shards
        self.range_N3 = range_N3
        self._files: dict[int, BinaryIO] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"shards": self.shards, "range_N3": self.range_N3, "_files": {}}

    def read(self, instance: int) -> bytes:
        """The mp4 of an instance.

        Raises:
            CpdError: the shard is gone, or shorter than it was.
        """
        shard, offset, size = map(int, self.range_N3[instance])
        # pread moves no file position, which forked workers share.
        video = os.pread(self._file(shard).fileno(), size, offset)
        if len(video) != size:
            raise CpdError(f"{self.shards[shard]}: cut short since it was opened", hint="run `cpd shards verify`")
        return video

    def _file(self, shard: int) -> BinaryIO:
        if shard not in self._files:
            if len(self._files) >= _OPEN_FILES:
                self.close()
            try:
                self._files[shard] = self.shards[shard].open("rb")
            except OSError as error:
                raise CpdError(f"{self.shards[shard]}: {error.strerror}", hint="run `cpd shards verify`") from None
        return self._files[shard]

    def close(self) -> None:
        """Close the open shards; reading opens them again."""
        for file in self._files.values():
            file.close()
        self._files = {}


class SampleTable:
    """The samples of some splits, in the order of their instance indices.

    Attributes:
        keys: key of every instance.
        meta: KEY.json of every instance.
        store: where the videos are.
        n_shards: number of shards.
    """

    def __init__(self, meta: list[dict[str, Any]], store: VideoStore) -> None:
        self.meta = meta
        self.keys: list[str] = [row["key"] for row in meta]
        self.store = store
        self.n_shards = len(store.shards)

    @classmethod
    def open(cls, results: str | Path, parts: Sequence[tuple[str, str]]) -> SampleTable:
        """Open the splits `parts` = [(source, split), ...], in that order.

        Titles and labels are held in memory; videos stay in the shards, or in copies on a disk of the node where
        `CPD_SCRATCH` names one (`cpd.shards.stage`).

        Raises:
            CpdError: a split is not in its source's index; a shard is missing, not a plain tar, or does not have
                the size and number of samples that the index says.
        """
        shards: list[Path] = []
        entries: list[Entry] = []
        meta: list[dict[str, Any]] = []
        ranges: list[tuple[int, int, int]] = []
        for source, split in parts:
            folder = Path(results) / "sources" / source / "shards"
            for entry in _entries(folder, split):
                path = folder / f"{entry['name']}.tar"
                samples = _samples(path, entry)
                meta += _read_meta(path, samples)
                ranges += [(len(shards), *sample.video) for sample in samples]
                shards.append(path)
                entries.append(entry)
        return cls(meta, VideoStore(staged(shards, entries), np.array(ranges, np.int64).reshape(-1, 3)))

    def __len__(self) -> int:
        return len(self.meta)

    def video(self, instance: int) -> bytes:
        """The mp4 of an instance (see `VideoStore.read`)."""
        return self.store.read(instance)

    def close(self) -> None:
        """Close the open shards."""
        self.store.close()


def _entries(folder: Path, split: str) -> list[Entry]:
    splits = read_index(folder)
    if split not in splits:
        raise CpdError(f"{folder}/index.json has no split {split!r}", hint=f"it has {', '.join(splits)}")
    return splits[split]["shards"]


def _samples(path: Path, entry: Entry) -> list[Sample]:
    samples = read_samples(path)
    size = path.stat().st_size
    if size != entry["bytes"] or len(samples) != entry["n"]:
        raise CpdError(
            f"{path}: {len(samples)} samples in {size} bytes, the index says {entry['n']} in {entry['bytes']}",
            hint="run `cpd shards verify`, then `cpd index`",
        )
    return samples


def _read_meta(path: Path, samples: list[Sample]) -> list[dict[str, Any]]:
    rows = []
    with path.open("rb") as handle:
        for number, sample in enumerate(samples):
            handle.seek(sample.meta[0])
            row = parse_meta(handle.read(sample.meta[1]), where=f"{path}: {sample.key}.json")
            if (row["key"], row["row"]) != (sample.key, number):
                raise CpdError(f"{path}: {sample.key}.json is of another sample", hint="run `cpd shards verify`")
            rows.append(row)
    return rows

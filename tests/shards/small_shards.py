"""A small source: counting videos, cut and packed as the pipeline does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpd.fileio import write_json, write_jsonl
from cpd.shards.index import build_index
from cpd.shards.keys import sample_key
from cpd.shards.write import Row, write_shard


def row(source: str, split: str, name: str, video: Path, frames: int) -> Row:
    meta = {
        "id": name,
        "key": sample_key(source, name),
        "source": source,
        "split": split,
        "title": f"Title of {name}",
        "title_clean": f"title of {name}",
        "title_tree": "title",
        "label": "",
        "folds": {},
        "fps": 25.0,
        "frames": frames,
        "sha256": hashlib.sha256(video.read_bytes()).hexdigest(),
    }
    return Row(video=video, meta=meta)


@dataclass
class Corpus:
    """A results folder with sources `a` (train: 5 + 4 + 3, val: 2) and `b` (train: 3)."""

    results: Path
    videos: list[Path]

    def folder(self, source: str) -> Path:
        return self.results / "sources" / source

    def add(self, source: str, chunk: str, rows: list[Row]) -> Path:
        """A shard with its sidecar, plan and ledger."""
        folder = self.folder(source)
        path = folder / "shards" / f"{chunk}.tar"
        write_json(path.with_suffix(".json"), write_shard(rows, path))
        ledger = [{"id": r.meta["id"], "key": r.meta["key"], "status": "ok", "reason": ""} for r in rows]
        write_jsonl(path.with_suffix(".ledger.jsonl"), ledger)
        write_jsonl(folder / "plan" / f"{chunk}.jsonl", [{"id": r.meta["id"]} for r in rows])
        return path

    def rows(self, source: str, chunk: str, n: int) -> list[Row]:
        split = chunk.split("-")[0]
        frames = [30 + 10 * (k % 3) for k in range(n)]
        return [row(source, split, f"{chunk}-{k}", self.videos[k % 3], frames[k]) for k in range(n)]

    def index(self, source: str, chunks: dict[str, list[str]]) -> dict[str, Any]:
        index = build_index(self.folder(source), chunks)
        write_json(self.folder(source) / "shards" / "index.json", index)
        return index


CHUNKS_A = {"train": ["train-0000", "train-0001", "train-0002"], "val": ["val-0000"]}

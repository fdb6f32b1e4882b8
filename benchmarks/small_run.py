"""A folder with everything that training and evaluation need, as large as asked: shards, encoder, config."""

from __future__ import annotations

from pathlib import Path

import yaml

from benchmarks.clip_store import made_up_video
from benchmarks.frozen_text import titles, tower_files
from cpd.config import Clips, Config, load_config
from cpd.fileio import write_json
from cpd.shards.keys import sample_key
from cpd.shards.write import Row, write_shard
from cpd.video.cut import Clip, cut

SIDE, PER_SHARD = 64, 64
VIEWS = {"frames": 4, "stride": 2, "size": 48}
BACKBONE = {"depth": 10, "width": 8, "channels_last": True}
RUN = "small"


def one_clip(folder: Path) -> tuple[Path, Clip]:
    """A small stored clip of 48 frames."""
    folder.mkdir(parents=True, exist_ok=True)
    source = made_up_video(folder / "source.mp4", seed=0, frames=48)
    target = folder / "clip.mp4"
    return target, cut(source, target, start=0, end=None, clips=Clips(short_side=SIDE))


def write_pairs(results: Path, clip: tuple[Path, Clip], splits: dict[str, int]) -> None:
    """Shards and index of the source `pairs`: the same clip again and again, each time with another title."""
    index: dict[str, object] = {"ledger": {}}
    for split, n in splits.items():
        rows = [_row(clip, split, number, title) for number, title in enumerate(titles(n))]
        index[split] = {"n": n, "shards": _write_shards(results, split, rows)}
    write_json(results / "sources/pairs/shards/index.json", index)


def _write_shards(results: Path, split: str, rows: list[Row]) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = []
    for first in range(0, len(rows), PER_SHARD):
        name = f"{split}-{len(entries):04d}"
        sidecar = write_shard(rows[first : first + PER_SHARD], results / f"sources/pairs/shards/{name}.tar")
        known = {"n": sidecar["n"], "bytes": sidecar["bytes"], "sha256": sidecar["sha256"]}
        entries.append({"name": name, "offset": first, **known})
    return entries


def _row(clip: tuple[Path, Clip], split: str, number: int, title: str) -> Row:
    path, facts = clip
    identity = f"{split}-{number}"
    who = {"id": identity, "key": sample_key("pairs", identity), "source": "pairs", "split": split}
    text = {"title": title, "title_clean": title, "title_tree": title, "label": f"class {number % 8}", "folds": {}}
    return Row(path, {**who, **text, "fps": facts.fps, "frames": facts.frames, "sha256": facts.sha256})


def write_run(folder: Path, clip: tuple[Path, Clip], *, n: int, epochs: int = 1, workers: int = 0) -> Config:
    """Everything for the experiment `RUN` on `n` pairs."""
    results = folder / "results"
    write_pairs(results, clip, {"train": n, "val": 16})
    tower_files(folder / "encoder", titles(64), layers=1, width=24)
    source = {"kind": "folder", "lists": {"train": "x", "val": "x"}, "pairs": {"train": n, "val": 16}}
    config = {
        "results": str(results),
        "data": str(folder / "data"),
        "sources": {"pairs": source},
        "datasets": {},
        "encoders": {"small": {"path": str(folder / "encoder")}},
        "experiments": {RUN: _experiment(epochs, workers)},
        "run": [RUN],
        "tables": {},
        "evaluate": {"features": {"clips": 2, "crops": 1, **VIEWS}},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return load_config(path)


def _experiment(epochs: int, workers: int) -> dict[str, object]:
    return {
        "sources": ["pairs"],
        "encoder": "small",
        "backbone": BACKBONE,
        "heads": {"dim": 32, "hidden": 32},
        "views": VIEWS,
        "train": {"batch": 32, "per_rank": 32, "workers": workers},
        "validation": {"source": "pairs", "split": "val", "n": 16},
        "stages": [{"epochs": epochs, "lr": 0.05}],
        "gpus": 0,
    }

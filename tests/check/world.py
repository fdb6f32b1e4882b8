"""A small built world: one source with folds and one with pairs, runs with weights, results, tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from cpd.commands.table import _write
from cpd.config import Config, experiment, load_config
from cpd.evaluate.result import hash_inputs, make_result, model_path, result_path, write_result
from cpd.fileio import write_json, write_jsonl

ROOT = Path(__file__).parent.parent.parent
RUNS = ("cpd-r34", "cpd-r34@1")
TABLES = (
    "table1", "table2", "table3", "table4", "table5", "table6", "table7", "table8", "v3", "beyond", "rho",
)  # fmt: skip
OVERLAY = """
results: {folder}/results
data: {folder}/data
seeds: [0, 1]
sources:
  ucf101: {{pairs: {{all: 6}}, lists: {{all: {folder}/ucf101}}}}
  kinetics: {{pairs: {{train: 4, val: 5}}}}
evaluate: {{retrieval: {{n: 4}}}}
tables:
{gone}
  control:
    columns:
      - {{name: fine-tuned, protocol: finetune, dataset: ucf101, splits: ["1"], metric: top1}}
      - {{name: R@10, protocol: retrieval, dataset: kinetics, metric: t2v.r10}}
    rows:
      - {{name: ours, run: cpd-r34}}
      - {{name: theirs, external: a checkpoint}}
"""


@cache
def _load(base: Path, over: Path, text: str) -> Config:
    """Once for each text of the overlay."""
    return load_config(base, over)


@dataclass
class World:
    """Where it is, and how to look at it again."""

    folder: Path

    @property
    def configfiles(self) -> list[Path]:
        return [ROOT / "config.yaml", self.folder / "over.yaml"]

    @property
    def config(self) -> Config:
        return _load(*self.configfiles, (self.folder / "over.yaml").read_text())

    def result(self, run: str, protocol: str) -> Path:
        dataset, split = ("ucf101", "1") if protocol == "finetune" else ("kinetics", "test")
        return result_path(self.config, run, protocol=protocol, dataset=dataset, split=split)

    def put(self, run: str, protocol: str, values: dict[str, Any], *, n: int) -> None:
        path = self.result(run, protocol)
        dataset, _, split = path.stem.rpartition("-")
        made = make_result(
            self.config,
            run,
            protocol=protocol,
            dataset=dataset,
            split=split,
            values=values,
            n=n,
            inputs=hash_inputs(model_path(self.config, run)),
            wall_seconds=1.0,
            code=["cpd.errors"],
        )
        write_result(path, made)

    def edit(self, path: Path, **changes: Any) -> None:
        """Change keys of a JSON file behind everybody's back."""
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def build_tables(self) -> None:
        _write(self.config, "control", configfiles=[])


def retrieval(r10: float = 50.0, rank: float = 2.0) -> dict[str, Any]:
    """Values as the protocol writes them."""
    one = {"r1": 25.0, "r5": min(r10, 50.0), "r10": r10, "median_rank": rank}
    return {"t2v": one, "v2t": one, "chance": {"r1": 25.0, "r5": 100.0, "r10": 100.0, "median_rank": 2.5}}


def make_world(folder: Path) -> World:
    """Everything in order: `check` finds nothing."""
    gone = "\n".join(f"  {name}: null" for name in TABLES)
    (folder / "over.yaml").write_text(OVERLAY.format(folder=folder, gone=gone))
    world = World(folder)
    put_shards(world.config, "ucf101", "all-0000", sides=["test", "test", "test", "train", "train", "train"])
    put_shards(world.config, "kinetics", "val-0000", sides=[""] * 5)
    for run in RUNS:
        put_run(world.config, run)
        world.put(run, "finetune", {"top1": 80.0, "top5": 90.0, "failed": 0}, n=3)
        world.put(run, "retrieval", retrieval(), n=4)
    world.build_tables()
    return world


def put_run(config: Config, run: str) -> None:
    model = model_path(config, run)
    model.parent.mkdir(parents=True)
    model.write_bytes(f"weights of {run}".encode())
    exp = experiment(config, run.partition("@")[0])
    write_json(model.with_name("config.json"), {"experiment": msgspec.to_builtins(exp)})


def put_shards(config: Config, source: str, chunk: str, *, sides: list[str]) -> None:
    """Rows of the crawl and of the shard's ledger; the last id was lost on the way where there is a side to spare."""
    folder = Path(config.results) / "sources" / source
    crawled = [
        {"id": f"id{k}", "status": "ok", "label": "a", "folds": {"1": side} if side else {}}
        for k, side in enumerate([*sides, "test"])
    ]
    write_jsonl(folder / "crawl" / f"{chunk}.jsonl", crawled)
    kept = [{"id": f"id{k}", "key": f"{source}{k}", "status": "ok", "reason": ""} for k in range(len(sides))]
    lost = {"id": f"id{len(sides)}", "key": f"{source}lost", "status": "corrupt", "reason": ""}
    write_jsonl(folder / "shards" / f"{chunk}.ledger.jsonl", [*kept, lost])

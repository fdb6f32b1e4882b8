"""Result files as the protocols write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cpd.config import Config
from cpd.evaluate.result import make_result, model_path, result_path, write_result


def put(
    config: Config, run: str, protocol: str, split: str, values: dict[str, Any], *, n: int = 10, weights: str = "w"
) -> Path:
    made = make_result(
        config,
        run,
        protocol=protocol,
        dataset="ucf101",
        split=split,
        values=values,
        n=n,
        inputs={str(model_path(config, run)): weights + run},
        wall_seconds=1.0,
        code=["cpd.errors"],
    )
    path = result_path(config, run, protocol=protocol, dataset="ucf101", split=split)
    write_result(path, made)
    return path


def put_all(config: Config) -> None:
    """Every result that the small table needs."""
    for number, run in enumerate(("cpd-r34", "cpd-r34@1")):
        put(config, run, "finetune", "1", {"top1": 80.0 + 2 * number})
        for split in ("1", "2", "3"):
            put(config, run, "knn", split, {"emb": {"top1": 10.0 * int(split) + number}}, n=int(split))
        put(config, run, "zeroshot", "1", {"classes": 101, "50": {"top1": 40.0}})
    put(config, "random-r34", "finetune", "1", {"top1": 51.0})
    put(config, "random-r34@1", "finetune", "1", {"top1": 51.0})

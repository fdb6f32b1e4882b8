"""A small finished study whose titles, names and classes are hostile: real shards, made-up measurements."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
import yaml

from cpd.config import Config, load_config
from cpd.evaluate.features import Features, features_path, save
from cpd.evaluate.predictions import Classified, Ranked, Retrieved, predictions_path, write_predictions
from cpd.evaluate.result import hash_inputs, make_result, model_path, result_path, write_result
from cpd.fileio import sha256_file, write_json, write_jsonl, write_text
from cpd.shards.index import build_index
from cpd.shards.keys import sample_key
from cpd.shards.write import Row, write_shard
from tests.small_corpus import COLOURS, FRAMES, MOTIONS, write_video

HOSTILE = [
    '<script>alert("1")</script>',
    "\"'><img src=x onerror=alert(1)>",
    "\u202egnp.elif \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "\U0001f469\u200d\U0001f680 \U00020b9f 日本",
    "a\x00b\x08c\x1bd \ufffe",
    "lone \ud800 surrogate",
    "{{ 7*7 }} {% raw %} $\\frac{1}$",
    "]]></style></title><!-- -->",
    "word " * 400,
    "https://evil.example/x.js javascript:alert(1)",
]
N_TRAIN, N_VAL = 6, 12
LOST = {"crawl": ["gone", "gone", "<b>odd</b>"], "tree": ["empty_text"], "clips": ["too_short"]}
RUNS = ("cpd", "shuffled")


def config_of(folder: Path, **over: Any) -> Config:
    """The study's config; `over` replaces top-level keys."""
    results = folder / "results"
    columns = [
        {"name": "UCF101 split 1", "protocol": "linear", "dataset": "acts", "metric": "res5.top1"},
        {"name": HOSTILE[1], "protocol": "retrieval", "dataset": "acts", "metric": "t2v.r10"},
        {"name": "zero-shot", "protocol": "zeroshot", "dataset": "acts", "metric": "all.top1"},
    ]
    rows = [{"name": "Ranking loss", "run": "shuffled"}, {"name": HOSTILE[0], "run": "cpd"}]
    rows += [{"name": "Theirs", "external": "a <b>checkpoint</b>"}, {"name": "Absent", "run": "absent"}]
    pairs = {"train": N_TRAIN + sum(map(len, LOST.values())) + 2, "val": N_VAL}
    config = {
        "results": str(results),
        "data": str(folder / "data"),
        "corpus": "demo",
        "sources": {"pairs": {"kind": "folder", "lists": dict.fromkeys(pairs, "x"), "pairs": pairs}},
        "datasets": {"acts": {"source": "pairs", "train": "train", "test": "val"}},
        "encoders": {"small": {"path": "small"}},
        "crawl": {"cookies": "/secret/canary-cookies.txt", "proxy": "http://canary-proxy:3128"},
        "defaults": {
            "sources": ["pairs"],
            "encoder": "small",
            "stages": [{"epochs": 4, "lr": 0.1}],
            "validation": {"source": "pairs"},
        },
        "experiments": {"cpd": {}, "shuffled": {"shuffle_titles": True}, "absent": {}},
        "run": ["cpd", "shuffled", "absent"],
        "tables": {"table1": {"title": HOSTILE[0], "columns": columns, "rows": rows}},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config | over))
    return load_config(path)


def write_study(folder: Path) -> Config:
    """Everything that the report reads; the run `absent` has nothing."""
    config = config_of(folder)
    keys = write_data(config)
    for run in RUNS:
        write_run(config, run)
        write_measurements(config, run, keys)
    return config


def write_data(config: Config) -> list[str]:
    """Rows of every stage, shards and index; returns the keys of the split `val`."""
    train = [_shard_row(config, "train", i) for i in range(N_TRAIN)]
    val = [_shard_row(config, "val", i) for i in range(N_VAL)]
    _stages(config, "train", train, lost=LOST)
    _stages(config, "val", val, lost={})
    folder = Path(config.results) / "sources" / "pairs"
    chunks = {"train": ["train-0000"], "val": ["val-0000"]}
    index = build_index(folder, chunks)
    write_json(folder / "shards" / "index.json", index)
    return [row.meta["key"] for row in val]


def label(i: int) -> str:
    return f"{list(COLOURS)[i % 4]} {list(MOTIONS)[i // 4 % 2]} </text>"


def _shard_row(config: Config, split: str, i: int) -> Row:
    path = Path(config.data) / f"{split}-{i}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, colour=list(COLOURS)[i % 4], motion=list(MOTIONS)[i // 4 % 2], seed=i)
    title = HOSTILE[i % len(HOSTILE)]
    meta = {
        "id": f"{split}-{i}", "key": sample_key("pairs", f"{split}-{i}"), "source": "pairs", "split": split,
        "title": title, "title_clean": f"{title} {i}", "title_tree": "", "label": label(i), "folds": {},
        "fps": 12.0, "frames": FRAMES, "sha256": sha256_file(path),
    }  # fmt: skip
    return Row(video=path, meta=meta)


def _stages(config: Config, split: str, rows: list[Row], *, lost: dict[str, list[str]]) -> None:
    """plan, crawl, tree, clips and shards of one chunk; two more ids of `train` are in the plan and nowhere else."""
    folder, chunk = Path(config.results) / "sources" / "pairs", f"{split}-0000"
    gone = [(stage, reason, f"{stage}-{n}") for stage, reasons in lost.items() for n, reason in enumerate(reasons)]
    ids = [row.meta["id"] for row in rows] + [identity for _, _, identity in gone]
    left = list(ids)
    for stage in ("crawl", "tree", "clips"):
        bad = {identity: reason for where, reason, identity in gone if where == stage}
        titles = {
            row.meta["id"]: {key: row.meta[key] for key in ("title", "title_clean", "title_tree")} for row in rows
        }
        found = [
            {"id": i, "status": bad.get(i, "ok"), "title": "", "tree_fallback": i == ids[0]} | titles.get(i, {})
            for i in left
        ]
        write_jsonl(folder / stage / f"{chunk}.jsonl", found)
        left = [i for i in left if i not in bad]
    target = folder / "shards" / f"{chunk}.tar"
    write_json(target.with_suffix(".json"), write_shard(rows, target))
    verdict = {identity: reason for _, reason, identity in gone}
    ledger = [
        {"id": i, "key": sample_key("pairs", i), "status": verdict.get(i, "ok"), "reason": verdict.get(i, "")}
        for i in ids
    ]
    write_jsonl(target.with_suffix(".ledger.jsonl"), ledger)
    write_jsonl(folder / "plan" / f"{chunk}.jsonl", [{"id": i} for i in ids])


def write_run(config: Config, run: str) -> None:
    """Weights, metrics, log and benchmarks; stage 1 begins at epoch 2."""
    model = model_path(config, run)
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_bytes(run.encode())
    history = [{"epoch": i, "stage": int(i >= 2), "step": 9 * i, "loss": 9.0 - i} for i in range(4)]
    validation = [{"epoch": i, "stage": int(i >= 2), "r10": 20.0 * i} for i in range(4)]
    summary = {"wall_seconds": 7200.0, "clips_per_second": 12.5, "world_size": 2}
    write_json(model.with_name("metrics.json"), {"history": history, "validation": validation} | summary)
    steps = [{"event": "step", "data_seconds": 0.25, "seconds": 1.0, "step": i} for i in range(3)]
    write_jsonl(model.with_name("metrics.jsonl"), steps)
    for part, seconds, memory in (("pretrain", "7100.0", "4096.5"), ("features", "60.0", "-")):
        folder = Path(config.results) / "benchmarks" / part
        path = folder / f"{run}.tsv" if part == "pretrain" else folder / run / "pairs-val.tsv"
        write_text(path, f"s\th:m:s\tmax_rss\n{seconds}\t1:00:00\t{memory}\n")


def write_measurements(config: Config, run: str, keys: list[str]) -> None:
    """Results, predictions and features: the run `cpd` is right more often than the other."""
    right = 9 if run == "cpd" else 3
    for protocol, values in _values(right).items():
        path = result_path(config, run, protocol=protocol, dataset="acts", split="test")
        inputs = {str(model_path(config, run)): hashlib.sha256(run.encode()).hexdigest()}
        made = make_result(
            config, run, protocol=protocol, dataset="acts", split="test", values=values, n=N_VAL,
            inputs=inputs, wall_seconds=90.0, code=["cpd.errors"],
        )  # fmt: skip
        write_result(path, made)
        write_predictions(predictions_path(path), _predictions(protocol, keys, right=right))
    write_features(config, run, keys)


def _values(right: int) -> dict[str, dict[str, Any]]:
    top1 = 100.0 * right / N_VAL
    factors = {"top1": top1, "motion": 70.0, "chance": {"top1": 10.0, "motion": 25.0}}
    return {"linear": {"res5": factors}, "zeroshot": {"all": factors}, "retrieval": {"t2v": {"r10": top1}}}


def _predictions(protocol: str, keys: list[str], *, right: int) -> Classified | Retrieved:
    if protocol == "retrieval":
        rank = [1 if i < right else N_VAL - i % 3 for i in range(N_VAL)]
        top5 = [[(i + j + (i >= right)) % N_VAL for j in range(5)] for i in range(N_VAL)]
        return Retrieved(keys=keys, t2v=Ranked(rank=rank, top5=top5), v2t=Ranked(rank=rank, top5=top5))
    classes = sorted({label(i) for i in range(N_VAL)})
    truth = [classes.index(label(i)) for i in range(N_VAL)]
    guess = [[t if i < right else (t + 1) % len(classes)] for i, t in enumerate(truth)]
    return Classified(classes=classes, keys=keys, labels=truth, top5={"res5" if protocol == "linear" else "all": guess})


def write_features(config: Config, run: str, keys: list[str]) -> None:
    """Frozen features in which classes are near one another."""
    labels = [label(i) for i in range(len(keys))]
    names = sorted(set(labels))
    generator = torch.Generator().manual_seed(len(run))
    emb_ND = torch.eye(16)[[names.index(name) for name in labels]] + 0.1 * torch.randn(
        len(keys), 16, generator=generator
    )
    model = model_path(config, run)
    features = Features(
        emb_ND=torch.nn.functional.normalize(emb_ND, dim=1),
        res5_NF=torch.randn(len(keys), 8, generator=generator),
        text_ND=torch.nn.functional.normalize(emb_ND, dim=1),
        keys=keys,
        labels=labels,
        titles=[f"title {i}" for i in range(len(keys))],
        folds=[{} for _ in keys],
        failed=[],
        provenance={"inputs": hash_inputs(model)},
    )
    save(features_path(config, run, source="pairs", split="val"), features)

"""Real shards of a few seconds of video and a real, untrained DistilBERT: what pretraining and fine-tuning need."""

from __future__ import annotations

import hashlib
from pathlib import Path

import av
import numpy as np
import yaml

from cpd.config import Config, load_config
from cpd.fileio import sha256_file, write_json
from cpd.shards.write import Row, write_shard

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 220), "yellow": (220, 220, 40)}
MOTIONS = {"left": -1, "right": 1}
FRAMES, SIDE = 12, 48


def write_video(path: Path, *, colour: str, motion: str, seed: int) -> None:
    """A square of a colour moves over grey noise."""
    rng = np.random.default_rng(seed)
    top, x = int(rng.integers(0, SIDE - 16)), int(rng.integers(0, SIDE))
    ground = rng.integers(90, 120, (SIDE, SIDE, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"crf": "20", "preset": "ultrafast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for t in range(FRAMES):
            image = ground.copy()
            columns = (x + 3 * t * MOTIONS[motion] + np.arange(16)) % SIDE
            image[top : top + 16, columns] = COLOURS[colour]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def write_source(results: Path, source: str, splits: dict[str, int], *, folds: bool = False) -> list[str]:
    """Shards and index of a source; the classes go round colours and motions. Returns the keys."""
    folder = results / "sources" / source / "shards"
    index: dict = {"ledger": {}}
    keys = []
    for split, n in splits.items():
        index[split] = {"n": n, "shards": []}
        for shard, low in enumerate(range(0, n, 8)):
            rows = [_row(results, source, split, i, folds=folds) for i in range(low, min(low + 8, n))]
            name = f"{split}-{shard:04d}"
            sidecar = write_shard(rows, folder / f"{name}.tar")
            entry = {"name": name, "n": sidecar["n"], "offset": low}
            index[split]["shards"].append({**entry, "bytes": sidecar["bytes"], "sha256": sidecar["sha256"]})
            keys += sidecar["keys"]
    write_json(folder / "index.json", index)
    return keys


def _row(results: Path, source: str, split: str, i: int, *, folds: bool) -> Row:
    colour, motion = list(COLOURS)[i % 4], list(MOTIONS)[i // 4 % 2]
    ident = f"{source}-{split}-{i}"
    key = hashlib.sha256(ident.encode()).hexdigest()[:20]
    path = results / "clips" / f"{key}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, colour=colour, motion=motion, seed=i + 1000 * len(split))
    title = f"a {colour} square goes {motion}"
    meta = {
        "id": ident,
        "key": key,
        "source": source,
        "split": split,
        "title": f"{title}!",
        "title_clean": title,
        "title_tree": "" if i == 0 else f"{colour} square goes",
        "label": f"{colour} {motion}" if folds else colour,
        "folds": {"1": "test" if i % 16 >= 8 else "train"} if folds else {},
        "fps": 12.0,
        "frames": FRAMES,
        "sha256": sha256_file(path),
    }
    return Row(video=path, meta=meta)


def write_encoder(folder: Path) -> None:
    """An untrained DistilBERT of one layer, with a word-level tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import DistilBertConfig, DistilBertModel, PreTrainedTokenizerFast, set_seed

    words = ["[PAD]", "[UNK]", "a", "square", "goes", *COLOURS, *MOTIONS]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder)
    set_seed(3)
    DistilBertModel(
        DistilBertConfig(
            vocab_size=len(words), dim=16, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=16
        )
    ).save_pretrained(folder)


SETTINGS = {
    "views": {"frames": 4, "stride": 2, "size": 24, "jitter": 0.1},
    "train": {"batch": 8, "per_rank": 4, "workers": 0, "validate_every": 1},
    "validation": {"source": "pairs", "split": "val", "n": 8},
    "backbone": {"depth": 10, "width": 4},
    "heads": {"dim": 16, "hidden": 24},
    "sources": ["pairs"],
    "encoder": "small",
    "stages": [{"epochs": 2, "lr": 0.05}],
}


def write_corpus(folder: Path) -> Path:
    """Shards, encoder and config.yaml in `folder`; returns the config file."""
    results = folder / "results"
    write_source(results, "pairs", {"train": 20, "val": 10})
    write_source(results, "acts", {"all": 32}, folds=True)
    write_encoder(folder / "encoder")
    factors = {f"{c} {m}": {"appearance": c, "motion": m} for c in COLOURS for m in MOTIONS}
    write_json(folder / "factors.json", factors)
    pairs = {"kind": "folder", "lists": {"train": "x", "val": "x"}, "pairs": {"train": 20, "val": 10}}
    acts = {"kind": "ucf101", "lists": {"all": "x"}, "pairs": {"all": 32}, "text": False}
    views = {"frames": 4, "stride": 2, "size": 24}
    config = {
        "results": str(results),
        "data": str(folder / "data"),
        "sources": {"pairs": pairs, "acts": {**acts, "factors": str(folder / "factors.json")}},
        "datasets": {
            "acts": {"source": "acts", "train": "all", "test": "all", "folds": [1]},
            "few": {"source": "pairs", "train": "train", "test": "val", "fractions": [0.5]},
            "whole": {"source": "pairs", "train": "train", "test": "val"},
        },
        "encoders": {"small": {"path": str(folder / "encoder")}},
        "defaults": SETTINGS,
        "experiments": {
            "cpd": {},
            "random": {"objective": {"name": "none"}, "stages": []},
            "channels-last": {"backbone": {"channels_last": True}},
            "curriculum": {"stages": [{"epochs": 1, "lr": 0.05}, {"epochs": 1, "lr": 0.01, "lr_text": 0.01}]},
            "shuffled": {"shuffle_titles": True},
            "nce": {"objective": {"estimator": "nce", "noise": 8}},
            "ranking": {"objective": {"name": "ranking"}},
            "self": {"objective": {"name": "self_instance"}},
        },
        "run": ["cpd"],
        "tables": {},
        "evaluate": {
            "finetune": {
                "epochs": 2,
                "lr": 0.001,
                "batch": 8,
                "milestones": [1],
                "views": views,
                "test": {"clips": 2, "crops": 3, **views},
            }
        },
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def open_corpus(folder: Path) -> Config:
    """The config of a corpus."""
    return load_config(folder / "config.yaml")


def break_video(config: Config, source: str, split: str, key: str) -> None:
    """Overwrite a clip in its shard with zeros; index and sizes still fit."""
    import tarfile

    for path in (Path(config.results) / "sources" / source / "shards").glob(f"{split}-*.tar"):
        with tarfile.open(path) as tar:
            found = [(m.offset_data, m.size) for m in tar if m.name == f"{key}.mp4"]
        for offset, size in found:
            with open(path, "r+b") as handle:
                handle.seek(offset)
                handle.write(b"\0" * size)

"""Frozen features of a split: every view of a video embedded, averaged, and kept with its labels and title.

Shapes: N videos, V views of one video, T frames, H, W, C=3, D embedding, F res5.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from cpd.config import Config
from cpd.digest import code_digest
from cpd.errors import CpdError
from cpd.evaluate.embed import Parts, embed
from cpd.evaluate.result import hash_inputs, model_path, settings_of, versions
from cpd.fileio import atomic_path

if TYPE_CHECKING:
    from cpd.models.checkpoint import Embedder


@dataclass(frozen=True)
class Features:
    """Frozen features of one split.

    Attributes:
        emb_ND: unit rows, the normalised mean of the views' embeddings.
        res5_NF: mean of the views' pooled res5.
        text_ND: embeddings of the titles; (0, D) for a source without text.
        keys: of the shards' samples.
        labels: class names, "" where there are none.
        titles: in the experiment's variant.
        folds: official membership, {"1": "train" | "test"}.
        failed: (key, reason) of samples that could not be decoded; they have no row.
        provenance: {run, source, split, views, inputs: {path: sha256}, code_digest, versions}.
    """

    emb_ND: Tensor
    res5_NF: Tensor
    text_ND: Tensor
    keys: list[str]
    labels: list[str]
    titles: list[str]
    folds: list[dict[str, str]]
    failed: list[tuple[str, str]]
    provenance: dict[str, Any]

    def __len__(self) -> int:
        return len(self.keys)


def features_path(config: Config, run: str, *, source: str, split: str) -> Path:
    """Where the features of a split stand."""
    return Path(config.results) / "features" / run / f"{source}-{split}.npz"


def extract(config: Config, run: str, *, source: str, split: str, embedder: Embedder | None = None) -> Path:
    """Embed every video of a split and write its npz. A killed extraction goes on with the part it was at.

    Args:
        config: the merged config; `evaluate.features` says which views.
        run: a finished pretraining run.
        source: name of the source.
        split: its split.
        embedder: the loaded run, to spare loading it again.

    Raises:
        CpdError: run or shards are missing, no sample could be decoded, or a feature is not finite (keys are named).
    """
    from cpd.models.checkpoint import load_embedder
    from cpd.shards.read import SampleTable

    embedder = embedder or load_embedder(model_path(config, run).parent)
    table = SampleTable.open(Path(config.results), [(source, split)])
    provenance = _provenance(config, run, source=source, split=split)
    path = features_path(config, run, source=source, split=split)
    parts = Parts(path.with_suffix(".parts"), identity=provenance)
    found = embed(embedder, table, settings_of(config, run).features, parts=parts, desc=f"features {source}-{split}")
    if not found.instances:
        raise CpdError(f"{source}-{split}: none of {len(table)} samples could be decoded", hint=_first(found.failed))
    meta = [table.meta[instance] for instance in found.instances]
    titles = [row.get(embedder.exp.title) or row.get("title_clean") or "" for row in meta]
    features = Features(
        emb_ND=found.emb_ND,
        res5_NF=found.res5_NF,
        text_ND=embedder.embed_sentences(titles if config.sources[source].text else []),
        keys=[row["key"] for row in meta],
        labels=[row.get("label") or "" for row in meta],
        titles=titles,
        folds=[row.get("folds") or {} for row in meta],
        failed=found.failed,
        provenance=provenance,
    )
    save(path, features)
    parts.remove()
    return path


def save(path: str | Path, features: Features) -> None:
    """Write features as npz without pickles, whole or not at all.

    Raises:
        CpdError: a value is not finite.
    """
    _require_finite(path, features)
    arrays: dict[str, Any] = {
        "emb": features.emb_ND.numpy(),
        "res5": features.res5_NF.numpy(),
        "text_emb": features.text_ND.numpy(),
        "keys": _strings(features.keys),
        "labels": _strings(features.labels),
        "titles": _strings(features.titles),
        "folds": _strings([json.dumps(folds, sort_keys=True) for folds in features.folds]),
        "failed": _strings([json.dumps(row) for row in features.failed]),
        "provenance": _strings([json.dumps(features.provenance, sort_keys=True)]),
    }
    with atomic_path(path) as beside, open(beside, "wb") as handle:
        np.savez(handle, **arrays)


def load(path: str | Path) -> Features:
    """Read features.

    Raises:
        CpdError: the file is missing, torn, or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            return _from_arrays(data)
    except FileNotFoundError:
        raise CpdError(f"{path}: no such file", hint="run `cpd features`, or mend the path") from None
    except Exception as error:  # zipfile, numpy and json each raise their own kinds for a torn file
        raise CpdError(f"{path}: not a whole features file: {error}", hint="delete it and run `cpd features`") from None


def _provenance(config: Config, run: str, *, source: str, split: str) -> dict[str, Any]:
    index = Path(config.results) / "sources" / source / "shards" / "index.json"
    return {
        "run": run,
        "source": source,
        "split": split,
        "views": msgspec.to_builtins(settings_of(config, run).features),
        "inputs": hash_inputs(model_path(config, run), index),
        "code_digest": code_digest("cpd.evaluate.features"),
        "versions": versions(),
    }


def _require_finite(path: str | Path, features: Features) -> None:
    for name, value in (("emb", features.emb_ND), ("res5", features.res5_NF), ("text_emb", features.text_ND)):
        bad = (~value.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if bad:
            keys = [features.keys[row] for row in bad[:5]]
            raise CpdError(f"{path}: {name} is not finite for {keys}", hint="the run diverged; look at its metrics")


def _strings(values: list[str]) -> np.ndarray[Any, np.dtype[np.str_]]:
    return np.array(values, dtype=np.str_) if values else np.empty(0, dtype="<U1")


def _from_arrays(data: Any) -> Features:
    def strings(name: str) -> list[str]:
        return [str(value) for value in data[name]]

    return Features(
        emb_ND=torch.from_numpy(data["emb"]),
        res5_NF=torch.from_numpy(data["res5"]),
        text_ND=torch.from_numpy(data["text_emb"]),
        keys=strings("keys"),
        labels=strings("labels"),
        titles=strings("titles"),
        folds=[json.loads(row) for row in strings("folds")],
        failed=[(key, reason) for key, reason in map(json.loads, strings("failed"))],
        provenance=json.loads(strings("provenance")[0]),
    )


def _first(failed: list[tuple[str, str]]) -> str:
    return f"first: {failed[0][0]}: {failed[0][1]}" if failed else "the split has no samples"

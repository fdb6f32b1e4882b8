"""Frozen features of a split: every view of a video embedded, averaged, and kept with its labels and title.

The file is safetensors: tensors emb (N, D), res5 (N, F) and text_emb (N or 0, D) in fp32, `rows` (the keys, labels,
titles, folds and failures as JSON in bytes), and the provenance as metadata. It can be mapped into memory, which npz
cannot, so that 240,000 x 2,048 values (2 GB) are read at the pace they are used; it holds no pickles; and one file is
one declared output, which is there or not, whereas a folder of .npy files could be there in part.

Shapes: N videos, V views of one video, T frames, H, W, C=3, D embedding, F res5.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from tqdm import tqdm

from cpd.config import Config
from cpd.digest import code_digest
from cpd.engine import distributed, together
from cpd.engine.distributed import World
from cpd.errors import CpdError
from cpd.evaluate.embed import Embedded, Parts, embed
from cpd.evaluate.result import hash_inputs, model_path, settings_of, versions
from cpd.tensors import write_tensors

if TYPE_CHECKING:
    from collections.abc import Callable

    from cpd.models.checkpoint import Embedder
    from cpd.shards.read import SampleTable

ALONE = World()
CHECKED_AT_ONCE = 4096  # rows


class _Rows(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is not a number, row by row."""

    keys: list[str]
    labels: list[str]
    titles: list[str]
    folds: list[dict[str, str]]
    failed: list[tuple[str, str]]


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
        provenance: {run, source, split, views, text, inputs: {path: sha256}, code_digest, versions}.
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
    return Path(config.results) / "features" / run / f"{source}-{split}.safetensors"


def parts_folder(config: Config, run: str, *, source: str, split: str) -> Path:
    """Where an extraction keeps what it has done; one process at a time works there (`cpd.engine.runlock`)."""
    return features_path(config, run, source=source, split=split).with_suffix(".parts")


def extract(
    config: Config,
    run: str,
    *,
    source: str,
    split: str,
    embedder: Embedder | None = None,
    world: World = ALONE,
    stop: Callable[[], str] = lambda: "",
) -> Path:
    """Embed every video of a split and write the file; one that is there already, of the same inputs, views and code,
    is left alone. A killed extraction goes on with the part it was at.

    Args:
        config: the merged config; `evaluate.features` says which views.
        run: a finished pretraining run.
        source: name of the source.
        split: its split.
        embedder: the loaded run, to spare loading it again.
        world: which rank this is. Ranks share the videos; the first writes the file, which is that of a single rank.
        stop: asked before each part for a reason to stop, "" for none.

    Raises:
        Requeue: `stop` gave a reason; the parts made so far are kept.
        Lost: another process took the lock of the parts; no file was written.
        CpdError: run or shards are missing, no sample could be decoded, or a feature is not finite (keys are named).
    """
    from cpd.models.checkpoint import load_embedder
    from cpd.shards.read import SampleTable

    embedder = embedder or load_embedder(model_path(config, run).parent, device=world.device)
    table = SampleTable.open(Path(config.results), [(source, split)])
    provenance = _provenance(config, run, source=source, split=split)
    path = features_path(config, run, source=source, split=split)
    if distributed.gather_objects(_is_there(path, provenance), world)[0]:
        return path
    parts = Parts(parts_folder(config, run, source=source, split=split), identity=provenance)
    views = settings_of(config, run).features
    embed(embedder, table, views, parts=parts, desc=f"features {source}-{split}", world=world, stop=stop)
    together.check_lock(world)
    if world.first:
        save(path, _features(embedder, table, parts.joined(len(table)), provenance))
        parts.remove()
    distributed.barrier(world)
    return path


def _is_there(path: Path, provenance: dict[str, Any]) -> bool:
    """Whether a whole file of this provenance is there."""
    if not path.exists():
        return False
    try:
        return load(path).provenance == provenance
    except CpdError as error:
        tqdm.write(f"{error}; extracted again")
        return False


def _features(embedder: Embedder, table: SampleTable, found: Embedded, provenance: dict[str, Any]) -> Features:
    """Add to the numbers what the shards say of each video, and the embedded titles."""
    source, split = provenance["source"], provenance["split"]
    if not found.instances:
        raise CpdError(f"{source}-{split}: none of {len(table)} samples could be decoded", hint=_first(found.failed))
    meta = [table.meta[instance] for instance in found.instances]
    titles = [row.get(embedder.exp.title) or row.get("title_clean") or "" for row in meta]
    return Features(
        emb_ND=found.emb_ND,
        res5_NF=found.res5_NF,
        text_ND=embedder.embed_sentences(titles if provenance["text"] else []),
        keys=[row["key"] for row in meta],
        labels=[row.get("label") or "" for row in meta],
        titles=titles,
        folds=[row.get("folds") or {} for row in meta],
        failed=found.failed,
        provenance=provenance,
    )


def save(path: str | Path, features: Features) -> None:
    """Write features, whole or not at all.

    Raises:
        CpdError: a value is not finite, or the disk is full.
    """
    _require_finite(path, features)
    rows = _Rows(
        keys=features.keys,
        labels=features.labels,
        titles=features.titles,
        folds=features.folds,
        failed=features.failed,
    )
    tensors = {"emb": features.emb_ND, "res5": features.res5_NF, "text_emb": features.text_ND}
    tensors["rows"] = torch.frombuffer(bytearray(msgspec.json.encode(rows)), dtype=torch.uint8)
    provenance = json.dumps(features.provenance, sort_keys=True)
    write_tensors(path, tensors, metadata={"provenance": provenance})


def load(path: str | Path) -> Features:
    """Read features. The tensors are a view of the file: pages are read when they are used, and given back when
    memory is short. Writing into them changes the copy in memory alone.

    Raises:
        CpdError: the file is missing, torn, or lacks something.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return _from_file(file)
    except FileNotFoundError:
        raise CpdError(f"{path}: no such file", hint="run `cpd features`, or mend the path") from None
    except (SafetensorError, msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
        raise CpdError(f"{path}: not a whole features file: {error}", hint="delete it and run `cpd features`") from None


def _provenance(config: Config, run: str, *, source: str, split: str) -> dict[str, Any]:
    index = Path(config.results) / "sources" / source / "shards" / "index.json"
    weights = model_path(config, run)
    provenance = {
        "run": run,
        "source": source,
        "split": split,
        "views": msgspec.to_builtins(settings_of(config, run).features),
        "text": config.sources[source].text,
        "inputs": hash_inputs(weights, weights.with_name("config.json"), index),
        "code_digest": code_digest("cpd.evaluate.features"),
        "versions": versions(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(provenance))
    return plain


def _require_finite(path: str | Path, features: Features) -> None:
    for name, value_NX in (("emb", features.emb_ND), ("res5", features.res5_NF), ("text_emb", features.text_ND)):
        for first in range(0, len(value_NX), CHECKED_AT_ONCE):
            bad_B = ~value_NX[first : first + CHECKED_AT_ONCE].isfinite().all(dim=1)
            if bad_B.any():
                keys = [features.keys[first + row] for row in bad_B.nonzero().flatten().tolist()[:5]]
                raise CpdError(f"{path}: {name} is not finite for {keys}", hint="the run diverged; look at its metrics")


def _from_file(file: Any) -> Features:
    rows = msgspec.json.decode(file.get_tensor("rows").numpy().tobytes(), type=_Rows)
    features = Features(
        emb_ND=file.get_tensor("emb"),
        res5_NF=file.get_tensor("res5"),
        text_ND=file.get_tensor("text_emb"),
        keys=rows.keys,
        labels=rows.labels,
        titles=rows.titles,
        folds=rows.folds,
        failed=rows.failed,
        provenance=json.loads(file.metadata()["provenance"]),
    )
    lengths = [len(part) for part in (features.emb_ND, features.res5_NF, rows.labels, rows.titles, rows.folds)]
    if set(lengths) != {len(rows.keys)}:
        raise ValueError(f"{lengths} rows for {len(rows.keys)} keys")
    return features


def _first(failed: list[tuple[str, str]]) -> str:
    return f"first: {failed[0][0]}: {failed[0][1]}" if failed else "the split has no samples"

"""Join what the stages say about a chunk's ids: who becomes a sample, and why the others do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cpd.errors import CpdError
from cpd.fileio import read_jsonl
from cpd.shards.keys import sample_key
from cpd.shards.write import Row

Rows = dict[str, dict[str, Any]]


def join_chunk(folder: str | Path, chunk: str, *, text: bool) -> tuple[list[Row], list[dict[str, Any]]]:
    """Join `{plan,crawl,clean,tree,clips}/{chunk}.jsonl` of a source by id.

    Args:
        folder: `R/sources/{source}`.
        chunk: name of the chunk.
        text: whether the source has cleaned and parsed titles.

    Returns:
        The samples in the order of the plan, and the ledger: for every planned id {id, key, status, reason}, with
        the status of the first stage that refused it (crawl, then titles, then clips).

    Raises:
        CpdError: a stage's file is missing, or has nothing to say about an id that reached it.
    """
    stages = ["crawl", *(["clean", "tree"] if text else []), "clips"]
    by_stage = {stage: _read(Path(folder) / stage / f"{chunk}.jsonl") for stage in stages}
    samples, ledger = [], []
    for pair in read_jsonl(Path(folder) / "plan" / f"{chunk}.jsonl"):
        status, reason = _verdict(pair["id"], by_stage, where=f"{folder}: chunk {chunk}")
        key = sample_key(pair["source"], pair["id"])
        ledger.append({"id": pair["id"], "key": key, "status": status, "reason": reason})
        if status == "ok":
            samples.append(_sample(pair, key, by_stage))
    return samples, ledger


def _read(path: Path) -> Rows:
    rows: Rows = {}
    for row in read_jsonl(path):
        if row["id"] in rows:
            raise CpdError(f"{path}: id {row['id']!r} comes twice", hint="delete it and run its rule again")
        rows[row["id"]] = row
    return rows


def _verdict(identity: str, by_stage: dict[str, Rows], *, where: str) -> tuple[str, str]:
    for stage, rows in by_stage.items():
        if identity not in rows:
            raise CpdError(
                f"{where}: id {identity!r} is missing from {stage}/, though the stages before let it pass",
                hint=f"delete that file and run its rule again ({stage})",
            )
        row = rows[identity]
        if row["status"] != "ok":
            return str(row["status"]), str(row["reason"])
    return "ok", ""


def _sample(pair: dict[str, Any], key: str, by_stage: dict[str, Rows]) -> Row:
    crawled, clip = by_stage["crawl"][pair["id"]], by_stage["clips"][pair["id"]]
    titles = by_stage["tree"][pair["id"]] if "tree" in by_stage else crawled
    meta = {
        "id": pair["id"],
        "key": key,
        "source": pair["source"],
        "split": pair["split"],
        "title": titles["title"],
        "title_clean": titles.get("title_clean", ""),
        "title_tree": titles.get("title_tree", ""),
        "label": pair.get("label", ""),
        "folds": pair.get("folds", {}),
        "fps": clip["fps"],
        "frames": clip["frames"],
        "sha256": clip["sha256"],
    }
    return Row(video=Path(clip["path"]), meta=meta)

"""The clips of a chunk: every id that was crawled is cut, or has a row that says why not.

Clips and what is known about them lie in the store, outside the declared outputs: after a crash, a kill or a deleted
result nothing is encoded twice. A clip is kept when its media, interval, settings and ffmpeg are the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from tqdm import tqdm

from cpd.errors import CpdError
from cpd.fileio import read_json, read_jsonl, sha256_file, write_json, write_jsonl
from cpd.video.cut import Clip, cut, ffmpeg_version
from cpd.video.probe import VideoError
from cpd.video.prober import Probers

if TYPE_CHECKING:
    from collections.abc import Callable

    from cpd.config import Clips

Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One chunk's clips: where they go, how and by which ffmpeg they are encoded, and the name (`key_of`) of an id."""

    folder: Path
    clips: Clips
    key_of: Callable[[str], str]
    encoder: str = field(default_factory=ffmpeg_version)


def cut_chunk(crawled: str | Path, target: str | Path, job: Job) -> Counter[str]:
    """Cut the ids of a crawl file that are ok; write `target`, one row per such id; count the rows by status.

    Args:
        crawled: `crawl/{chunk}.jsonl`.
        target: `clips/{chunk}.jsonl`: id, status, reason, path, frames, fps, width, height, sha256.
        job: how to cut.

    Raises:
        CpdError: the crawl file is missing, or the machine is at fault (no ffmpeg, a full disk).
    """
    _sweep(job)
    wanted = [row for row in read_jsonl(crawled) if row["status"] == "ok"]
    threads = len(os.sched_getaffinity(0))
    with Probers(threads, job.clips) as probers, ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(cut_row, row, job, probers) for row in wanted]
        try:
            bar = tqdm(futures, desc=f"clips {Path(target).stem}", unit="clip", disable=None)
            rows = [future.result() for future in bar]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    write_jsonl(target, rows)
    return Counter(row["status"] for row in rows)


def cut_row(row: Row, job: Job, probers: Probers) -> Row:
    """Cut one id of the crawl, or find the clip that an earlier run has cut."""
    path = job.folder / f"{job.key_of(row['id'])}.mp4"
    wanted = _recipe(row, job)
    try:
        clip = _kept(path, wanted) or _cut(row, path, wanted, job.clips, probers)
    except VideoError as error:
        empty = Clip(frames=0, fps=0.0, width=0, height=0, sha256="")
        return {"id": row["id"], "status": error.status, "reason": error.reason, "path": "", **asdict(empty)}
    return {"id": row["id"], "status": "ok", "reason": "", "path": str(path), **asdict(clip)}


def _cut(row: Row, path: Path, wanted: str, clips: Clips, probers: Probers) -> Clip:
    path.with_suffix(".json").unlink(missing_ok=True)
    found = probers.probe(row["path"])
    clip = cut(row["path"], path, start=row["start"], end=row["end"], clips=clips, found=found)
    write_json(path.with_suffix(".json"), {"recipe": wanted, "clip": asdict(clip)})
    return clip


def _recipe(row: Row, job: Job) -> str:
    """SHA-256 of everything that decides the bytes of a clip."""
    settings = {name: value for name, value in msgspec.structs.asdict(job.clips).items() if name != "timeout"}
    parts = [row["sha256"], row["start"], row["end"], settings, job.encoder]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _kept(path: Path, wanted: str) -> Clip | None:
    """The clip of an earlier run, if it was cut by the same recipe and still has its bytes."""
    record = path.with_suffix(".json")
    if not (record.exists() and path.exists()):
        return None
    try:
        known = read_json(record)
    except CpdError:
        return None  # not ours to mend: the clip is cut again
    if known["recipe"] != wanted or sha256_file(path) != known["clip"]["sha256"]:
        return None
    return Clip(**known["clip"])


def _sweep(job: Job) -> None:
    """Remove what killed runs left half-written; younger files may belong to a run beside this one."""
    for path in job.folder.glob(".tmp.*"):
        if time.time() - path.stat().st_mtime > 2 * job.clips.timeout:
            path.unlink(missing_ok=True)

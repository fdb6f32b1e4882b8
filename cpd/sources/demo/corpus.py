"""Write the demo corpus: lists, web site, downstream sets, treebank and text.

A killed build resumes: lists are cheap and always written, videos are rendered where they are missing. A folder that
was built with other settings is emptied first (only what this module writes); a folder of somebody else is refused.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from cpd import config, fileio
from cpd.errors import CpdError
from cpd.sources.demo import classes, downstream, lists, treebank
from cpd.sources.demo.classes import Category
from cpd.sources.demo.downstream import FileVideo
from cpd.sources.demo.lists import WebVideo
from cpd.sources.demo.render import Scene

TREEBANK = {"train": 500, "dev": 60}
PARAGRAPHS = 2000
KEEP_OF_CORRUPT = 0.6
FOLDERS = ("site", "ucf101", "hmdb51", "treebank")
INLINE_JOBS = 40  # so few videos are not worth starting processes


@dataclass(frozen=True)
class Job:
    """One video to render: `share` of its bytes is kept."""

    path: Path
    scene: Scene
    share: float = 1.0


@dataclass(frozen=True)
class Contents:
    """Everything a corpus consists of."""

    web: list[WebVideo]
    ucf: list[FileVideo]
    hmdb: list[FileVideo]


def build(demo: config.Demo) -> dict[str, Any]:
    """Write the corpus below `demo.folder`; returns what `corpus.json` holds (settings, counts, sha256 of the lists).

    Equal settings give equal bytes. See `docs/architecture.md` for who reads which file.

    Raises:
        ConfigError: too few ids or videos a class.
        CpdError: the folder holds files that no build of ours has made.
    """
    folder = Path(demo.folder)
    contents = Contents(lists.web_videos(demo), downstream.ucf_videos(demo), downstream.hmdb_videos(demo))
    settings = _settings(demo)
    _prepare(folder, settings)
    written = _write_lists(folder, demo, contents)
    _render_missing(list(_jobs(folder, contents)))
    digests = {str(path.relative_to(folder)): fileio.sha256_file(path) for path in sorted(written)}
    summary = {"settings": settings, "counts": _counts(contents), "sha256": digests}
    fileio.write_json(folder / "corpus.json", summary)
    return summary


def _settings(demo: config.Demo) -> dict[str, Any]:
    """What decides the content: the config's numbers and this package's code."""
    names = ("seed", "train", "val", "ucf_per_class", "hmdb_per_class")
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.name != "site.py":  # it serves the corpus and does not shape it
            code.update(path.read_bytes())
    return {**{name: getattr(demo, name) for name in names}, "code": code.hexdigest()}


def _prepare(folder: Path, settings: dict[str, Any]) -> None:
    """Leave nothing of other settings in the folder, and mark it with ours."""
    marker = folder / "settings.json"
    if not marker.exists() and any(_has_files(folder / name) for name in FOLDERS):
        raise CpdError(
            f"{folder}: holds {', '.join(FOLDERS)} that no demo-corpus has made",
            hint="give demo.folder another name, or move the files away",
        )
    if marker.exists() and fileio.read_json(marker) != settings:
        for name in FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
        marker.unlink()
    if not marker.exists():
        fileio.write_json(marker, settings)


def _has_files(path: Path) -> bool:
    return any(found.is_file() for found in path.rglob("*"))


def _write_lists(folder: Path, demo: config.Demo, contents: Contents) -> list[Path]:
    """Write every file that is not a video; returns their paths."""
    texts = _texts(demo, contents)
    values = _values(contents)
    for name, text in texts.items():
        fileio.write_text(folder / name, text)
    for name, value in values.items():
        fileio.write_json(folder / name, value)
    return [folder / name for name in (*texts, *values)]


def _texts(demo: config.Demo, contents: Contents) -> dict[str, str]:
    texts = {f"kinetics_{split}.csv": lists.kinetics_csv(contents.web, split=split) for split in ("train", "val")}
    for name, n in TREEBANK.items():
        texts[f"treebank/{name}.conllu"] = treebank.conllu(n, seed=demo.seed, name=name)
    texts["paragraphs.txt"] = treebank.paragraphs(PARAGRAPHS, seed=demo.seed)
    texts |= {f"ucf101/splits/{name}": text for name, text in downstream.ucf_lists(contents.ucf).items()}
    texts |= {f"hmdb51/splits/{name}": text for name, text in downstream.hmdb_lists(contents.hmdb).items()}
    return texts


def _values(contents: Contents) -> dict[str, Any]:
    return {
        "site/pages.json": lists.site_pages(contents.web),
        "truth.json": lists.truth(contents.web),
        "factors_kinetics.json": downstream.factors(classes.SEEN, lambda c: c.kinetics),
        "factors_ucf101.json": downstream.factors(classes.UCF101, lambda c: c.ucf101),
        "factors_hmdb51.json": downstream.factors(classes.HMDB51, lambda c: c.hmdb51),
    }


def _jobs(folder: Path, contents: Contents) -> Iterator[Job]:
    for web in contents.web:
        if web.fate not in ("gone", "private"):
            share = KEEP_OF_CORRUPT if web.fate == "corrupt" else 1.0
            yield Job(folder / "site/media" / lists.media_name(web.id), web.scene, share)
    for name, videos in (("ucf101", contents.ucf), ("hmdb51", contents.hmdb)):
        for video in videos:
            yield Job(folder / name / "videos" / video.name, video.scene)


def _render_missing(jobs: list[Job]) -> None:
    """Render what is not there yet, on every core that we may use."""
    missing = [job for job in jobs if not job.path.exists()]
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(missing), desc="render", unit="video", disable=None)
    with bar:
        if len(missing) <= INLINE_JOBS:
            for job in missing:
                make(job)
                bar.update()
            return
        context = multiprocessing.get_context("spawn")  # fork is unsafe beside the encoder's threads
        with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=context) as pool:
            for _ in pool.map(make, missing, chunksize=8):
                bar.update()


def make(job: Job) -> None:
    """Render and encode one video."""
    import cv2

    from cpd.sources.demo import encode, render

    cv2.setNumThreads(1)
    frames_THWC = render.render(job.scene)
    if job.path.suffix == ".mp4":
        encode.write_mp4(job.path, frames_THWC, share=job.share)
    else:
        encode.write_avi(job.path, frames_THWC)


def _counts(contents: Contents) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for split in ("train", "val"):
        videos = [video for video in contents.web if video.split == split]
        counts[split] = {"ids": len(videos), **Counter(video.fate for video in videos)}
        counts[f"{split}_titles"] = dict(Counter(video.title.kind for video in videos))
    counts["ucf101"] = _set_counts(contents.ucf)
    counts["hmdb51"] = _set_counts(contents.hmdb)
    return counts


def _set_counts(videos: list[FileVideo]) -> dict[str, int]:
    folds = Counter(
        f"{fold or 'unused'}{split}"
        for video in videos
        for split, fold in zip(downstream.SPLITS, video.folds, strict=True)
    )
    categories: set[Category] = {video.category for video in videos}
    return {"videos": len(videos), "classes": len(categories), **folds}

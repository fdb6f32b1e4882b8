"""What is searched: the clips of one split, as one run sees them, with their titles, classes and bytes.

Shapes: N clips, D embedding, F res5.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from torch.nn.functional import normalize

from cpd.config import Experiment, FeatureViews
from cpd.errors import CpdError
from cpd.evaluate import features
from cpd.fileio import read_json
from cpd.models.checkpoint import read_config
from cpd.shards.read import SampleTable, VideoStore
from cpd.video.probe import open_media, video_stream

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from cpd.evaluate.features import Features
    from cpd.search.place import Place

STALE = "delete it and run `cpd features` again"


@dataclass(frozen=True)
class Clip:
    """One clip: title as its author wrote it, class ("" for none), SHA-256 of its bytes, and where these are."""

    key: str
    title: str
    label: str
    sha256: str
    instance: int


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The clips of a split.

    Attributes:
        place: the run.
        exp: its experiment.
        weights: SHA-256 of its weights.
        source, split: of the clips.
        views: how the clips were seen, and how a dropped clip is.
        has_text: whether the run learned from titles, so that sentences and clips can be compared.
        clip_ND: unit rows that clips are compared by: the embedding; res5 where the run has no text.
        text_ND: unit rows of the titles; (0, D) where the source or the run has none.
        titles: as the network was given them, row by row of `text_ND`.
        clips: of every row.
        failed: clips of the split that could not be decoded, and have no row.
    """

    place: Place
    exp: Experiment
    weights: str
    source: str
    split: str
    views: FeatureViews
    has_text: bool
    clip_ND: Tensor
    text_ND: Tensor
    titles: list[str]
    clips: list[Clip]
    failed: int
    store: VideoStore
    _reading: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return len(self.clips)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row by key: nothing else of what a browser sends ever names a clip."""
        return {clip.key: row for row, clip in enumerate(self.clips)}

    @cached_property
    def classes(self) -> list[str]:
        """Names of the classes, sorted."""
        return sorted({clip.label for clip in self.clips} - {""})

    @cached_property
    def short_side(self) -> int:
        """Of a stored clip, in pixels: what a dropped one is brought to."""
        with open_media(self.video(0)) as container:
            stream = video_stream(container)
            return min(stream.width, stream.height)

    def video(self, row: int) -> bytes:
        """The mp4 of a row.

        Raises:
            CpdError: the shard is gone or damaged, or another one stands in its place.
        """
        clip = self.clips[row]
        with self._reading:  # the store opens and closes files, which threads must not do at once
            content = self.store.read(clip.instance)
        if hashlib.sha256(content).hexdigest() != clip.sha256:
            hint = "run `cpd shards verify`; when the shards were made anew, start the page again"
            raise CpdError(f"{self.source}-{self.split}: clip {clip.key} has not the SHA-256 of its shard", hint=hint)
        return content


def open_gallery(place: Place, *, source: str, split: str) -> Gallery:
    """Open the features and shards of a split.

    Raises:
        CpdError: features or shards are missing or torn, or the features are of other weights or other shards.
    """
    path = place.features(source, split)
    run = read_config(place.folder)
    found = features.load(path)
    if run.weights_sha256 not in found.provenance.get("inputs", {}).values():
        raise CpdError(f"{path}: not made from {place.folder} as it is now", hint=STALE)
    table = SampleTable.open(place.results, [(source, split)])
    has_text = _has_text(run.experiment, place.folder)
    return Gallery(
        place=place,
        exp=run.experiment,
        weights=run.weights_sha256,
        source=source,
        split=split,
        views=_views(path, found),
        has_text=has_text,
        clip_ND=found.emb_ND.clone() if has_text else normalize(found.res5_NF, dim=1),
        text_ND=found.text_ND.clone() if has_text else found.text_ND[:0],
        titles=found.titles,
        clips=_clips(path, found, table),
        failed=len(found.failed),
        store=table.store,
    )


def _has_text(exp: Experiment, folder: Path) -> bool:
    """Whether the text head was trained, here or by those whose checkpoint was imported."""
    report = folder / "import.json"
    if report.exists():
        return "the text head" not in read_json(report)["absent"]
    return exp.objective.learns_from_titles


def _views(path: Path, found: Features) -> FeatureViews:
    try:
        return msgspec.convert(found.provenance.get("views"), FeatureViews)
    except msgspec.ValidationError as error:
        raise CpdError(f"{path}: its views: {error}", hint=STALE) from None


def _clips(path: Path, found: Features, table: SampleTable) -> list[Clip]:
    instance_of = {key: instance for instance, key in enumerate(table.keys)}
    unknown = [key for key in found.keys if key not in instance_of]
    if unknown:
        raise CpdError(f"{path}: {len(unknown)} keys are not in the shards, as {unknown[0]}", hint=STALE)
    return [_clip(table.meta[instance_of[key]], instance_of[key]) for key in found.keys]


def _clip(meta: dict[str, Any], instance: int) -> Clip:
    return Clip(meta["key"], meta["title"], meta.get("label") or "", meta["sha256"], instance)

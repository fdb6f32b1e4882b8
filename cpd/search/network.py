"""The trained network, asked by one thread at a time, and media from strangers, which it looks at safely.

Shapes: N sentences, D embedding, F res5, V views of one video, T frames, H, W.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec
import torch
from torch.nn.functional import normalize

from cpd.config import Clips, FeatureViews
from cpd.models.embedder import CLIPS_AT_ONCE
from cpd.video.cut import cut
from cpd.video.prober import Probers
from cpd.video.views import all_views

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from torch import Tensor

    from cpd.models.embedder import Embedder

PATIENCE = 60.0  # seconds for one ffmpeg: somebody is waiting


@dataclass(frozen=True)
class Seen:
    """A dropped clip as the network sees it: the mp4 that was cut from it, emb_D and res5_F, both of unit length."""

    video: bytes
    emb_D: Tensor
    res5_F: Tensor


class Network:
    """A loaded run.

    Args:
        embedder: the network.
        views: how a clip is seen: as those it is compared with were.
        clips: limits on what is opened; its `short_side` is that of the clips it is compared with.
    """

    def __init__(self, embedder: Embedder, *, views: FeatureViews, clips: Clips) -> None:
        self._embedder = embedder
        self._views = views
        self._clips = msgspec.structs.replace(clips, timeout=min(clips.timeout, PATIENCE))
        self._asking = threading.Lock()  # tokenizers refuse a second thread, and two forward passes gain nothing
        self._open = ExitStack()
        self._probers = self._open.enter_context(Probers(1, self._clips))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    def sentences(self, texts: list[str]) -> Tensor:
        """Unit rows (N, D)."""
        with self._asking:
            return self._embedder.embed_sentences(texts)

    def look(self, media: IO[bytes]) -> Seen:
        """See a media file from all views, as the pipeline would.

        Its header is read by a child process, its first seconds are cut by ffmpeg; this process decodes nothing but
        what that wrote. Nothing stays on the disk.

        Raises:
            VideoError: it is no video, corrupt, too large, too long or too short.
        """
        with tempfile.TemporaryDirectory(prefix="cpd-search-") as folder:
            given, stored = Path(folder) / "given", Path(folder) / "clip.mp4"
            with given.open("wb") as file:
                shutil.copyfileobj(media, file)
            found = self._probers.probe(given)
            clip = cut(given, stored, start=0.0, end=None, clips=self._clips, found=found)
            video = stored.read_bytes()
        return self._see(video, clip.frames)

    def _see(self, video: bytes, frames: int) -> Seen:
        views_VTHWC = torch.from_numpy(all_views(video, frames, self._views))
        with self._asking:
            parts = [self._embedder.embed_clips(part) for part in torch.split(views_VTHWC, CLIPS_AT_ONCE)]
        emb_VD, res5_VF = (torch.cat(group) for group in zip(*parts, strict=True))
        return Seen(video, normalize(emb_VD.mean(0), dim=0), normalize(res5_VF.mean(0), dim=0))

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch

import cpd
from cpd.config import Clips, Encoder, FeatureViews, Views
from cpd.errors import CpdError
from cpd.models.checkpoint import save_run
from cpd.models.embedder import Embedder
from cpd.models.two_tower import TwoTower
from cpd.video import sample, transforms
from cpd.video.cut import cut
from cpd.video.decode import decode_frames
from cpd.video.probe import VideoError
from tests.models.small_towers import experiment


@pytest.fixture
def embedder(tmp_path: Path, encoder: Encoder) -> Embedder:
    torch.manual_seed(0)
    exp = experiment(views=Views(frames=2, stride=3, size=28))
    save_run(tmp_path / "run", TwoTower(exp, encoder), exp, encoder)
    return cpd.load(tmp_path / "run")


def write_video(path: Path, *, frames: int = 24, width: int = 64, height: int = 48) -> Path:
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 200, (height, width, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"crf": "20", "preset": "ultrafast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for t in range(frames):
            image = np.roll(ground, 2 * t, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_one_sentence_is_not_a_list_of_letters(embedder: Embedder) -> None:
    with pytest.raises(CpdError, match=r"'a red square': one text, not a list of them\nHint: give \[text\]"):
        embedder.embed_sentences("a red square")
    with pytest.raises(CpdError, match=r"sentences\[1\] is of type NoneType"):
        embedder.embed_sentences(["a red square", None])  # type: ignore[list-item]
    want = embedder.embed_sentences(["a red square", ""])
    assert want.shape == (2, 8)
    assert torch.equal(embedder.embed_sentences(("a red square", "")), want)
    assert embedder.embed_sentences([]).shape == (0, 8)


@pytest.mark.parametrize(
    "clips",
    [
        torch.zeros(2, 32, 32, 3, dtype=torch.uint8),
        torch.zeros(1, 3, 2, 32, 32, dtype=torch.uint8),
        torch.zeros(1, 2, 32, 32, 3),
    ],
)
def test_clips_of_another_form_are_refused(embedder: Embedder, clips: torch.Tensor) -> None:
    with pytest.raises(CpdError, match=rf"clips of shape \({', '.join(map(str, clips.shape))}\) and {clips.dtype}"):
        embedder.embed_clips(clips)


@pytest.mark.parametrize("crops", [1, 3])
def test_a_file_gives_what_the_pipeline_computes_from_it(tmp_path: Path, embedder: Embedder, crops: int) -> None:
    """Cut, decoded and seen as a shard's clip is: the mean over the views, normalised after averaging."""
    clips = Clips(short_side=48)
    views = FeatureViews(clips=4, crops=crops, frames=2, stride=3, size=32)
    video = write_video(tmp_path / "v.mp4")
    emb_D, res5_F = embedder.embed_file(video, views=views, clips=clips)
    assert (emb_D.shape, res5_F.shape) == ((8,), (32,))
    assert emb_D.norm() == pytest.approx(1)
    stored = cut(video, tmp_path / "stored.mp4", start=0.0, end=None, clips=clips)
    data, parts = (tmp_path / "stored.mp4").read_bytes(), []
    for indices in sample.test_indices(stored.frames, 4, 2, 3):
        frames = decode_frames(data, indices)
        crop = np.empty((crops, len(frames), 32, 32, 3), np.uint8)
        transforms.crop(frames, 32, crop)
        parts.append(torch.from_numpy(np.ascontiguousarray(crop)))
    embs, res5s = embedder.embed_clips(torch.cat(parts))
    assert len(embs) == 4 * crops
    torch.testing.assert_close(emb_D, embs.mean(0) / embs.mean(0).norm())
    torch.testing.assert_close(res5_F, res5s.mean(0))


def test_by_default_ten_views_at_eight_sevenths_of_the_training_size(tmp_path: Path, embedder: Embedder) -> None:
    views = embedder.test_views()
    assert (views.clips, views.crops, views.frames, views.stride, views.size) == (10, 1, 2, 3, 32)
    assert Embedder(embedder.model, experiment(), embedder.device).test_views().size == 128
    video = write_video(tmp_path / "v.mp4")
    first, again = embedder.embed_file(video), embedder.embed_file(str(video), start=0.0, end=2.0)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    part = embedder.embed_file(video, start=1.0)
    assert not torch.allclose(first[1], part[1])


def test_a_bad_file_is_named_by_its_status(tmp_path: Path, embedder: Embedder) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    whole = write_video(tmp_path / "v.mp4").read_bytes()
    (tmp_path / "torn.mp4").write_bytes(whole[: len(whole) // 2])
    for name, status in (("nowhere.mp4", "gone"), ("text.mp4", "not_video"), ("torn.mp4", "corrupt")):
        with pytest.raises(VideoError) as caught:
            embedder.embed_file(tmp_path / name)
        assert caught.value.status == status
        assert name in str(caught.value)

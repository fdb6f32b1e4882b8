"""From shards to features: every view averaged, order kept, failures listed; files that are whole or refused."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from types import SimpleNamespace

import av
import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cpd.config import Config, Experiment, Objective, Train
from cpd.errors import CpdError
from cpd.evaluate import embed, features
from cpd.fileio import write_json
from cpd.shards.keys import sample_key
from cpd.shards.write import Row, write_shard
from tests.evaluate.feature_files import put_features, put_model

RUN = "cpd-r34"
N = 5


def write_video(path: Path, *, level: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture
def shards(config: Config, tmp_path: Path) -> list[str]:
    """One shard of five videos of growing brightness, the third of them broken; returns the keys."""
    rows = []
    for number in range(N):
        path = tmp_path / f"{number}.mp4"
        write_video(path, level=40 * number + 20)
        if number == 2:
            path.write_bytes(b"not a video")
        meta = {"id": f"v{number}", "key": sample_key("kinetics", f"v{number}"), "source": "kinetics", "split": "val"}
        meta |= {"title": f"Title {number}!", "title_clean": f"title {number}", "title_tree": "", "label": f"c{number}"}
        meta |= {"folds": {}, "fps": 25.0, "frames": 40, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        rows.append(Row(path, meta))
    folder = Path(config.results) / "sources" / "kinetics" / "shards"
    sidecar = write_shard(rows, folder / "val-0000.tar")
    entry = {"name": "val-0000", "n": N, "offset": 0, "bytes": sidecar["bytes"], "sha256": sidecar["sha256"]}
    write_json(folder / "index.json", {"val": {"n": N, "shards": [entry]}, "ledger": {"val": {"ok": N}}})
    return [row.meta["key"] for row in rows]


class FakeEmbedder(SimpleNamespace):
    """emb is [brightness, view number in its call], so that a mean over views shows."""

    def embed_clips(self, clip_BTHWC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert clip_BTHWC.dtype == torch.uint8
        self.calls.append(tuple(clip_BTHWC.shape))
        level_B = clip_BTHWC.float().mean(dim=(1, 2, 3, 4))
        return torch.stack([level_B, torch.ones_like(level_B) * 100], 1), level_B[:, None]

    def embed_sentences(self, sentences: list[str]) -> torch.Tensor:
        self.sentences.append(sentences)
        return torch.ones(len(sentences), 2)


@pytest.fixture
def embedder() -> FakeEmbedder:
    exp = Experiment(title="title_tree", objective=Objective(name="none"), train=Train(workers=0))
    return FakeEmbedder(exp=exp, calls=[], sentences=[])


def test_extract(config: Config, shards: list[str], embedder: FakeEmbedder) -> None:
    put_model(config, RUN)
    path = features.extract(config, RUN, source="kinetics", split="val", embedder=embedder)
    found = features.load(path)
    assert path == Path(config.results) / "features" / RUN / "kinetics-val.safetensors"
    assert found.keys == [key for i, key in enumerate(shards) if i != 2]
    assert [key for key, _ in found.failed] == [shards[2]]
    assert found.labels == ["c0", "c1", "c3", "c4"]
    assert found.titles == ["title 0", "title 1", "title 3", "title 4"], "an empty tree falls back to the clean title"
    levels = torch.tensor([20.0, 60.0, 140.0, 180.0])
    torch.testing.assert_close(found.res5_NF[:, 0], levels, atol=3, rtol=0)
    wanted = torch.nn.functional.normalize(torch.stack([found.res5_NF[:, 0], torch.full((4,), 100.0)], 1), dim=1)
    torch.testing.assert_close(found.emb_ND, wanted)
    assert found.text_ND.shape == (4, 2)
    assert embedder.calls == [(40, 8, 128, 128, 3)], "four videos of ten views in one call"
    assert {Path(name).name for name in found.provenance["inputs"]} == {
        "model.safetensors",
        "config.json",
        "index.json",
    }
    before, calls = path.read_bytes(), len(embedder.calls)
    features.extract(config, RUN, source="kinetics", split="val", embedder=embedder)
    assert len(embedder.calls) == calls, "nothing changed: nothing is embedded"
    path.write_bytes(before[:-1])
    features.extract(config, RUN, source="kinetics", split="val", embedder=embedder)
    assert path.read_bytes() == before, "a torn file is made again, bit for bit"
    put_model(config, RUN, content=b"trained anew")
    features.extract(config, RUN, source="kinetics", split="val", embedder=embedder)
    assert len(embedder.calls) == 3 * calls


def test_a_split_that_is_not_there_is_named(config: Config, shards: list[str], embedder: FakeEmbedder) -> None:
    put_model(config, RUN)
    with pytest.raises(CpdError, match="no split 'train'"):
        features.extract(config, RUN, source="kinetics", split="train", embedder=embedder)


def test_a_source_without_text_has_no_text_embeddings(
    config: Config, shards: list[str], embedder: FakeEmbedder
) -> None:
    put_model(config, RUN)
    sources = config.sources | {"kinetics": msgspec.structs.replace(config.sources["kinetics"], text=False)}
    silent = msgspec.structs.replace(config, sources=sources)
    path = features.extract(silent, RUN, source="kinetics", split="val", embedder=embedder)
    assert features.load(path).text_ND.shape == (0, 2)


def test_missing_views_are_refused() -> None:
    batch = SimpleNamespace(clips_VTHWC=torch.zeros(9, 1, 2, 2, 3), key="k")
    with pytest.raises(CpdError, match="k: 9 views instead of 10"):
        embed._require_views([batch], 10)  # type: ignore[list-item]


def test_groups_keep_order_and_lose_nothing() -> None:
    batches = [SimpleNamespace(clips_VTHWC=torch.zeros(10, 1), key=str(i)) for i in range(15)]
    groups = list(embed._groups(batches))  # type: ignore[arg-type]
    assert [batch.key for group in groups for batch in group] == [str(i) for i in range(15)]
    assert [len(group) for group in groups] == [6, 6, 3]


def test_round_trip_keeps_strings_of_any_alphabet(config: Config, tmp_path: Path) -> None:
    made = put_features(config, RUN, source="kinetics", split="val", n=3)
    strange = dataclasses.replace(made, titles=["", "日本 🎉 'quote'", "a" * 900], labels=["", "x", "y"], failed=[])
    features.save(tmp_path / "f.safetensors", strange)
    found = features.load(tmp_path / "f.safetensors")
    assert (found.titles, found.labels, found.failed, found.folds) == (strange.titles, strange.labels, [], made.folds)
    assert torch.equal(found.emb_ND, made.emb_ND)


def test_values_that_are_not_finite_are_refused(config: Config, tmp_path: Path) -> None:
    made = put_features(config, RUN, source="kinetics", split="val", n=3)
    made.res5_NF[1, 0] = float("nan")
    with pytest.raises(CpdError, match="res5 is not finite for \\['val-1'\\]"):
        features.save(tmp_path / "f.safetensors", made)
    assert not (tmp_path / "f.safetensors").exists()


@pytest.mark.parametrize("cut", [0, 10, 600])
def test_a_torn_file_is_named(config: Config, tmp_path: Path, cut: int) -> None:
    put_features(config, RUN, source="kinetics", split="val", n=3)
    whole = features.features_path(config, RUN, source="kinetics", split="val").read_bytes()
    (tmp_path / "torn.safetensors").write_bytes(whole[:cut])
    with pytest.raises(CpdError, match=r"torn\.safetensors"):
        features.load(tmp_path / "torn.safetensors")


@pytest.mark.parametrize("change", [{"rows": None}, {"emb": torch.zeros(2, 16)}, {"rows": torch.zeros(9).byte()}])
def test_a_file_that_lacks_something_is_named(config: Config, tmp_path: Path, change: dict) -> None:
    put_features(config, RUN, source="kinetics", split="val", n=3)
    whole = features.features_path(config, RUN, source="kinetics", split="val")
    tensors = {name: value for name, value in (load_file(whole) | change).items() if value is not None}
    save_file(tensors, tmp_path / "bad.safetensors", metadata={"provenance": "{}"})
    with pytest.raises(CpdError, match=r"bad\.safetensors: not a whole features file"):
        features.load(tmp_path / "bad.safetensors")


def test_the_file_is_mapped_and_never_written_through(config: Config) -> None:
    put_features(config, RUN, source="kinetics", split="val", n=3)
    path = features.features_path(config, RUN, source="kinetics", split="val")
    before = path.read_bytes()
    found = features.load(path)
    assert str(path) in Path("/proc/self/maps").read_text()
    found.emb_ND[0] = 7
    assert path.read_bytes() == before


def test_a_killed_extraction_goes_on_and_gives_the_same_bytes(
    config: Config, shards: list[str], embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "PART", 2)
    put_model(config, RUN)
    path = features.extract(config, RUN, source="kinetics", split="val", embedder=embedder)
    whole, calls = path.read_bytes(), len(embedder.calls)
    assert list(path.parent.iterdir()) == [path], "the parts are gone"
    path.unlink()
    kept, embedder.embed_clips_alive = embedder.embed_clips, 2

    def dies(clip_BTHWC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not embedder.embed_clips_alive:
            raise KeyboardInterrupt
        embedder.embed_clips_alive -= 1
        return kept(clip_BTHWC)

    embedder.embed_clips = dies
    with pytest.raises(KeyboardInterrupt):
        features.extract(config, RUN, source="kinetics", split="val", embedder=embedder)
    parts = sorted(path.with_suffix(".parts").rglob("*.npz"))
    assert [part.name for part in parts] == ["000000000.npz", "000000002.npz"]
    parts[1].write_bytes(parts[1].read_bytes()[:-30])
    embedder.embed_clips, embedder.calls[:] = kept, []
    features.extract(config, RUN, source="kinetics", split="val", embedder=embedder)
    assert len(embedder.calls) == calls - 1, "the first part was kept, the torn one and the last were embedded"
    assert path.read_bytes() == whole
    assert list(path.parent.iterdir()) == [path]


def test_parts_of_other_weights_are_not_read(config: Config, shards: list[str], embedder: FakeEmbedder) -> None:
    parts = embed.Parts(Path(config.results) / "p.parts", identity={"weights": "a"})
    parts.write(0, embed.Embedded([7], torch.ones(1, 2), torch.ones(1, 3), [("k", "torn")]))
    again = embed.Parts(Path(config.results) / "p.parts", identity={"weights": "a"}).read(0)
    assert again is not None
    assert (again.instances, again.failed, again.res5_NF.shape) == ([7], [("k", "torn")], (1, 3))
    assert embed.Parts(Path(config.results) / "p.parts", identity={"weights": "b"}).read(0) is None

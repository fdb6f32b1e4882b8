from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

import cpd
from cpd.cli import main
from cpd.config import Backbone, Encoder, Experiment, Heads, Objective
from cpd.errors import CpdError
from cpd.models.adopt import adopt
from cpd.models.checkpoint import load_embedder, load_video, save_run
from cpd.models.importing import import_run
from cpd.models.layouts import LAYOUTS, read_checkpoint
from cpd.models.resnet3d import PIXELS
from cpd.models.two_tower import TwoTower
from tests.models import foreign
from tests.models.small_towers import distilbert, experiment

VIDEO_LAYOUTS = ("torchvision", "slowfast", "pytorchvideo")


def network(path: Path, layout: str, **over: object) -> Experiment:
    """The experiment whose network the file holds."""
    pixels = "imagenet" if layout == "torchvision" else "slowfast"
    backbone = {
        "depth": 50,
        "width": foreign.WIDTH,
        "temporal": layout != "torchvision",
        "shortcut": "A" if layout == "authors" else "B",
        "pixels": pixels,
        "weights": str(path),
    }
    return Experiment(
        objective=Objective(name="none"), backbone=Backbone(**backbone | over), heads=Heads(dim=8, hidden=10)
    )


def clips() -> torch.Tensor:
    return torch.randint(256, (2, 3, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def normalised(pixels: str) -> torch.Tensor:
    mean, std = map(torch.tensor, PIXELS[pixels])
    return ((clips() / 255 - mean) / std).permute(0, 4, 1, 2, 3)


@pytest.mark.parametrize("layout", VIDEO_LAYOUTS)
@pytest.mark.parametrize("wrapper", ["", "state_dict", "model_state"])
def test_published_backbones_compute_what_they_did(tmp_path: Path, encoder: Encoder, layout: str, wrapper: str) -> None:
    state = foreign.video_state(layout, counters=wrapper == "")  # converted files have no counters
    file = {f"module.{name}": value for name, value in (state | foreign.classifier(layout)).items()}
    path = tmp_path / "weights.pth"
    torch.save({wrapper: file, "epoch": 3} if wrapper else file, path)
    exp = network(path, layout)
    adopted = import_run(tmp_path / "run", exp, encoder)
    assert adopted.layout == layout
    assert len(adopted.matched) == len(state)
    assert set(adopted.left_out) == set(foreign.classifier(layout))
    assert adopted.absent == ["the video head", "the text head", "the language model"]
    _, res5 = load_embedder(tmp_path / "run").embed_clips(clips())
    expected = foreign.features(layout, state, normalised(exp.backbone.pixels))
    torch.testing.assert_close(res5, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    path.unlink()  # the run folder needs it no more
    assert load_video(tmp_path / "run")[0].feature_dim == 128


def authors_file(tmp_path: Path) -> tuple[Path, Encoder, dict[str, torch.Tensor]]:
    """The layout of the authors' trainer: DataParallel names, both encoders and heads, Z and banks as buffers."""
    from transformers import AutoModel

    encoder = distilbert(tmp_path / "encoders" / "tiny")
    torch.manual_seed(1)
    trained = {f"textual_encoder.{n}": torch.randn_like(v) for n, v in AutoModel.from_pretrained(
        encoder.path
    ).state_dict().items()}  # fmt: skip
    heads = {
        "vis_emb.weight": torch.randn(8, 128),
        "vis_emb.bias": torch.randn(8),
        "text_emb.0.weight": torch.randn(10, 16),
        "text_emb.0.bias": torch.randn(10),
        **{f"text_emb.1.{leaf}": torch.rand(10) + 0.5 for leaf in foreign.BN},
        "text_emb.1.num_batches_tracked": torch.tensor(5),
        "text_emb.3.weight": torch.randn(8, 10),
        "text_emb.3.bias": torch.randn(8),
    }
    left = {
        "Z_v": torch.tensor([3.0]),
        "Z_t": torch.tensor([4.0]),
        "vis_memory": torch.randn(5, 8),
        "text_memory": torch.randn(5, 8),
        "textual_encoder.embeddings.position_ids": torch.arange(512)[None],
    }
    state = foreign.video_state("authors") | heads | trained
    path = tmp_path / "save_200.pth"
    file = {f"module.{name}": value for name, value in (state | left).items()}
    torch.save({"epoch": 201, "arch": "resnet-50", "state_dict": file, "optimizer": {"state": {}}}, path)
    return path, encoder, state


def test_the_authors_checkpoint_comes_over_whole(tmp_path: Path) -> None:
    path, encoder, state = authors_file(tmp_path)
    adopted = import_run(tmp_path / "run", network(path, "authors"), encoder)
    assert adopted.layout == "authors"
    assert set(adopted.matched) == set(state)
    assert set(adopted.left_out) == {
        "Z_v", "Z_t", "vis_memory", "text_memory", "textual_encoder.embeddings.position_ids",
    }  # fmt: skip
    assert adopted.absent == []
    embedder = load_embedder(tmp_path / "run")
    emb, res5 = embedder.embed_clips(clips())
    expected = foreign.features("authors", state, normalised("slowfast"))
    torch.testing.assert_close(res5, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    raw = expected @ state["vis_emb.weight"].T + state["vis_emb.bias"]
    torch.testing.assert_close(emb, raw / raw.norm(dim=1, keepdim=True), rtol=1e-3, atol=1e-3)
    own = embedder.model.text.encoder.state_dict()
    assert all(torch.equal(own[n.removeprefix("textual_encoder.")], v) for n, v in state.items() if "textual" in n)
    assert torch.equal(embedder.model.text_head.layers[3].weight, state["text_emb.3.weight"])


def test_training_may_begin_with_published_weights(tmp_path: Path, encoder: Encoder) -> None:
    path = tmp_path / "slow.pth"
    torch.save({"model_state": foreign.video_state("slowfast")}, path)
    exp = experiment(backbone=network(path, "slowfast").backbone)
    model = TwoTower(exp, encoder)
    weight = foreign.video_state("slowfast")["s1.pathway0_stem.conv.weight"]
    assert torch.equal(model.video.stem[0].weight, weight)
    save_run(tmp_path / "run", model, exp, encoder)
    assert not json.loads((tmp_path / "run" / "config.json").read_text())["text_trained"]


@pytest.mark.parametrize("layout", [layout.name for layout in LAYOUTS])
def test_a_name_that_the_layout_does_not_know_is_an_error(tmp_path: Path, encoder: Encoder, layout: str) -> None:
    state = foreign.video_state(layout) | {"mystery.weight": torch.zeros(1)}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CpdError, match=r"unknown to the layout.*mystery"):
        import_run(tmp_path / "run", network(tmp_path / "w.pth", layout), encoder)
    assert not (tmp_path / "run").exists()


def test_half_a_part_is_an_error_and_nothing_is_loaded(tmp_path: Path) -> None:
    """Fault 76: no partial load."""
    path, encoder, state = authors_file(tmp_path)
    model = TwoTower(network(path, "authors", weights=None), encoder)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for missing, part in (
        ("visual_encoder.layer4.2.conv3.weight", "the video tower"),
        ("text_emb.3.bias", "the text head"),
        ("textual_encoder.embeddings.LayerNorm.bias", "the language model"),
    ):
        torch.save({name: value for name, value in state.items() if name != missing}, tmp_path / "half.pth")
        with pytest.raises(CpdError, match=f"lacks, of {part}"):
            adopt(model, tmp_path / "half.pth")
    torch.save(state | {"vis_emb.bias": torch.full((8,), float("nan"))}, tmp_path / "half.pth")
    with pytest.raises(CpdError, match=r"video_head.bias is not finite"):
        adopt(model, tmp_path / "half.pth")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"depth": 34}, "tensors that this model lacks"),
        ({"width": 8}, "instead of"),
        ({"temporal": True}, "instead of"),
        ({"shortcut": "A"}, "tensors that this model lacks"),
    ],
)
def test_another_network_than_the_file_s_is_an_error(
    tmp_path: Path, encoder: Encoder, over: dict[str, object], message: str
) -> None:
    torch.save(foreign.video_state("torchvision"), tmp_path / "w.pth")
    with pytest.raises(CpdError, match=message) as caught:
        import_run(tmp_path / "run", network(tmp_path / "w.pth", "torchvision", **over), encoder)
    assert "backbone.depth" in caught.value.hint


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_hostile_pickle_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 72: also where the environment asks torch for full pickles."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"state_dict": foreign.video_state("slowfast"), "x": Evil(tmp_path / "PWNED")}, tmp_path / "w.pth")
    with pytest.raises(CpdError, match="not a checkpoint of weights alone"):
        read_checkpoint(tmp_path / "w.pth")
    assert not (tmp_path / "PWNED").exists()


def test_files_that_are_no_checkpoints_are_named(tmp_path: Path) -> None:
    with pytest.raises(CpdError, match="no such file"):
        read_checkpoint(tmp_path / "nowhere.pth")
    for content, message in ((b"", "not a checkpoint"), (b"hello", "not a checkpoint")):
        (tmp_path / "w.pth").write_bytes(content)
        with pytest.raises(CpdError, match=message):
            read_checkpoint(tmp_path / "w.pth")
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(CpdError, match="no tensors by name"):
        read_checkpoint(tmp_path / "w.pth")
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    assert list(read_checkpoint(tmp_path / "w.safetensors")) == ["a"]
    whole = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(whole[:-1])
    with pytest.raises(CpdError, match="not a whole safetensors"):
        read_checkpoint(tmp_path / "w.safetensors")


def test_an_unknown_layout_is_named(tmp_path: Path, encoder: Encoder) -> None:
    torch.save({"backbone.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(CpdError, match="no layout known"):
        import_run(tmp_path / "run", network(tmp_path / "w.pth", "slowfast"), encoder)


def test_a_trained_run_is_never_overwritten(tmp_path: Path, encoder: Encoder) -> None:
    torch.save(foreign.video_state("slowfast"), tmp_path / "w.pth")
    exp = network(tmp_path / "w.pth", "slowfast")
    import_run(tmp_path / "run", exp, encoder)
    import_run(tmp_path / "run", exp, encoder)  # an import is
    (tmp_path / "run" / "import.json").unlink()
    with pytest.raises(CpdError, match="holds a trained run"):
        import_run(tmp_path / "run", exp, encoder)


def test_the_verb_prints_every_tensor_and_pretrain_takes_the_same_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, encoder, state = authors_file(tmp_path)
    exp = network(path, "authors")
    config = yaml.safe_load(Path(__file__).parents[2].joinpath("config.yaml").read_text())
    config["results"] = str(tmp_path / "results")
    config["encoders"]["distilbert"] = {"path": encoder.path}
    backbone = {"depth": 50, "width": 4, "shortcut": "A", "pixels": "slowfast", "weights": None}
    heads = {"dim": 8, "hidden": 10}
    entry = {"objective": {"name": "none"}, "stages": [], "backbone": backbone, "heads": heads}
    config["experiments"]["theirs"] = entry
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    assert main(["import", "theirs", "--configfile", str(file)]) == 2
    assert "give --weights" in capsys.readouterr().err
    assert main(["import", "theirs", "--weights", str(path), "--configfile", str(file)]) == 0
    printed = capsys.readouterr().out
    assert all(f"matched   {name} -> " in printed for name in state)
    assert "left out  vis_memory: a memory bank" in printed
    imported = cpd.load(tmp_path / "results" / "pretrain" / "theirs")
    assert imported.exp.backbone.weights == exp.backbone.weights
    backbone["weights"] = str(path)
    file.write_text(yaml.safe_dump(config))
    assert main(["pretrain", "theirs", "--output", str(tmp_path / "again"), "--configfile", str(file)]) == 0
    again, first = (load_embedder(folder).embed_clips(clips()) for folder in (
        tmp_path / "again", tmp_path / "results" / "pretrain" / "theirs"
    ))  # fmt: skip
    torch.testing.assert_close(again, first, rtol=0, atol=0)
    shutil.rmtree(tmp_path / "again")

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import cpd
from cpd.errors import CpdError
from cpd.fileio import sha256_file
from cpd.models.checkpoint import load_embedder, load_video, save_run
from cpd.models.two_tower import TwoTower
from cpd.video.transforms import to_model
from tests.models.small_towers import distilbert, experiment, write_encoder
from tests.mounts import NEEDS_MOUNTS, inside

TITLES = ["a red ball rolls", "", "two dogs"]


def clips(n=2):
    return torch.randint(256, (n, 2, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def saved(tmp_path, encoder, exp=None):
    """A model whose running statistics moved, and its run folder."""
    torch.manual_seed(0)
    exp = exp or experiment()
    model = TwoTower(exp, encoder).train()
    model(torch.randn(4, 3, 2, 32, 32), torch.randn(4, model.text.dim))
    save_run(tmp_path / "run", model, exp, encoder)
    return model.eval(), tmp_path / "run"


def edit_config(folder, **over):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | over))


def edit_weights(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_round_trip_is_exact(tmp_path, encoder):
    model, folder = saved(tmp_path, encoder)
    embedder = cpd.load(folder)
    assert embedder.exp == experiment()
    emb, res5 = embedder.embed_clips(clips())
    with torch.no_grad():
        torch.testing.assert_close((emb, res5), model.embed_video(to_model(clips())), rtol=0, atol=0)
        live = model.embed_text(model.text(**model.text.tokenize(TITLES)))
    torch.testing.assert_close(embedder.embed_sentences(TITLES), live, rtol=0, atol=0)


def test_embedder_is_frozen_and_in_eval_mode(tmp_path, encoder):
    embedder = load_embedder(saved(tmp_path, encoder)[1])
    assert not any(module.training for module in embedder.model.modules())
    assert not any(parameter.requires_grad for parameter in embedder.model.parameters())
    emb, res5 = embedder.embed_clips(clips())
    assert not emb.requires_grad
    assert not res5.is_inference()  # a linear probe may train on it


def test_sentences_do_not_depend_on_the_batch_they_are_in(tmp_path, encoder):
    embedder = load_embedder(saved(tmp_path, encoder)[1])
    together = embedder.embed_sentences(TITLES)
    torch.testing.assert_close(embedder.embed_sentences(TITLES, batch=1), together)
    assert embedder.embed_sentences([]).shape == (0, 8)


def test_the_language_model_is_stored_only_if_it_was_trained(tmp_path, encoder):
    _, frozen = saved(tmp_path / "frozen", encoder)
    _, trained = saved(tmp_path / "trained", encoder, experiment(lr_text=1e-3))
    assert "text.letters.weight" not in load_file(frozen / "model.safetensors")
    assert "text.letters.weight" in load_file(trained / "model.safetensors")


def test_a_trained_language_model_comes_back_and_not_the_encoder_s(tmp_path, encoder):
    exp = experiment(lr_text=1e-3)
    model = TwoTower(exp, encoder).eval()
    with torch.no_grad():
        model.text.letters.weight.add_(1.0)
        expected = model.embed_text(model.text(**model.text.tokenize(TITLES)))
    save_run(tmp_path / "run", model, exp, encoder)
    torch.testing.assert_close(load_embedder(tmp_path / "run").embed_sentences(TITLES), expected, rtol=0, atol=0)


def test_the_random_initialisation_is_saved_like_any_run(tmp_path, encoder, untrained):
    _, folder = saved(tmp_path, encoder, untrained)
    assert load_embedder(folder).exp.objective.name == "none"


def test_saving_twice_gives_the_same_bytes(tmp_path, encoder):
    model, folder = saved(tmp_path, encoder)
    before = [sha256_file(folder / name) for name in ("model.safetensors", "config.json")]
    save_run(folder, model, experiment(), encoder)
    assert [sha256_file(folder / name) for name in ("model.safetensors", "config.json")] == before
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_a_failure_leaves_the_old_weights(tmp_path, encoder, monkeypatch):
    model, folder = saved(tmp_path, encoder)
    before = sha256_file(folder / "model.safetensors")

    def torn(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr("safetensors.torch.save_file", torn)
    with pytest.raises(OSError, match="no space"):
        save_run(folder, model, experiment(), encoder)
    assert sha256_file(folder / "model.safetensors") == before
    assert load_embedder(folder).exp == experiment()


FILLS_ITS_DISK = """
import shutil, sys
from pathlib import Path
from cpd.config import Encoder
from cpd.errors import CpdError
from cpd.models import encoders
from cpd.models.checkpoint import load_embedder, save_run
from tests.models import small_towers

encoders.TextTower = small_towers.SmallTextTower
shutil.copytree("run", "disk/run")
embedder = load_embedder("disk/run", device="cpu")
size = Path("run/model.safetensors").stat().st_size
room = shutil.disk_usage("disk").free - size // 2
Path("disk/other").write_bytes(bytes(room))
try:
    save_run("disk/run", embedder.model, embedder.exp, Encoder(path=sys.argv[1]))
except CpdError as error:
    print(error.exit_code, error)
print(sorted(path.name for path in Path("disk/run").iterdir()))
load_embedder("disk/run", device="cpu")
"""


@NEEDS_MOUNTS
def test_a_really_full_disk_is_one_message_and_leaves_the_old_run(tmp_path, encoder, monkeypatch):
    _, folder = saved(tmp_path, encoder)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    (tmp_path / "disk").mkdir()
    size = 2 * sum(path.stat().st_size for path in folder.iterdir())
    command = [sys.executable, "-c", FILLS_ITS_DISK, encoder.path]
    done = inside(f"mount -t tmpfs -o size={size} none disk", command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "75 disk/run/model.safetensors: not written: No space left on device (os error 28)",
        "Hint: free some space and run again",
        "['config.json', 'model.safetensors']",
    ]


def test_the_video_tower_loads_without_the_language_model(tmp_path, encoder):
    model, folder = saved(tmp_path, encoder)
    shutil.rmtree(encoder.path)
    video, exp = load_video(folder)
    assert exp == experiment()
    wanted = model.video.state_dict()
    assert video.state_dict().keys() == wanted.keys()
    for name, value in video.state_dict().items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=0)
    edit_weights(folder, lambda tensors: tensors.pop("video.stem.0.weight"))
    with pytest.raises(CpdError, match=r"lacks: video\.stem\.0\.weight"):
        load_video(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_missing_file_is_named(tmp_path, encoder, name):
    _, folder = saved(tmp_path, encoder)
    (folder / name).unlink()
    with pytest.raises(CpdError, match=name):
        load_embedder(folder)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CpdError, match="nothing-here"):
        load_embedder(tmp_path / "nothing-here")


def test_torn_weights_are_refused(tmp_path, encoder):
    _, folder = saved(tmp_path, encoder)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CpdError, match="not a whole safetensors file"):
        load_embedder(folder)


def test_missing_and_unknown_and_misshapen_tensors_are_named(tmp_path, encoder):
    _, folder = saved(tmp_path, encoder)
    edit_weights(folder, lambda tensors: tensors.pop("video_head.bias"))
    with pytest.raises(CpdError, match=r"lacks: video_head\.bias"):
        load_embedder(folder)
    edit_weights(folder, lambda tensors: tensors.update({"video_head.bias": torch.zeros(9)}))
    with pytest.raises(CpdError, match=r"shapes .*: video_head\.bias"):
        load_embedder(folder)
    edit_weights(folder, lambda tensors: tensors.update({"video_head.bias": torch.zeros(8), "extra": torch.ones(1)}))
    with pytest.raises(CpdError, match="unknown: extra"):
        load_embedder(folder)


def test_weights_of_another_run_are_refused(tmp_path, encoder):
    _, folder = saved(tmp_path, encoder)
    edit_weights(folder, lambda tensors: tensors["video_head.bias"].add_(1))
    with pytest.raises(CpdError, match="SHA-256"):
        load_embedder(folder)


def test_a_config_of_other_sizes_is_refused(tmp_path, encoder):
    _, folder = saved(tmp_path, encoder)
    config = json.loads((folder / "config.json").read_text())
    config["experiment"]["backbone"]["depth"] = 18
    edit_config(folder, **config)
    with pytest.raises(CpdError, match=r"lacks: video\.stages"):
        load_embedder(folder)


def test_an_unknown_key_in_the_config_is_named(tmp_path, encoder):
    _, folder = saved(tmp_path, encoder)
    edit_config(folder, shoe_size=42)
    with pytest.raises(CpdError, match="shoe_size"):
        load_embedder(folder)


def test_another_encoder_in_the_same_place_is_refused(tmp_path, encoder):
    _, folder = saved(tmp_path, encoder)
    write_encoder(tmp_path / "encoders" / "small", seed=1)
    with pytest.raises(CpdError, match="not the one this run was trained with"):
        load_embedder(folder)


def test_run_and_encoder_may_be_moved_together(tmp_path, encoder):
    model, _ = saved(tmp_path, encoder)
    (tmp_path / "elsewhere").mkdir()
    for name in ("run", "encoders"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere" / name)
    embedder = load_embedder(tmp_path / "elsewhere" / "run")
    assert torch.equal(embedder.model.text.letters.weight, model.text.letters.weight)


def test_a_transformers_encoder_goes_the_whole_way(tmp_path):
    exp, encoder = experiment(lr_text=1e-3), distilbert(tmp_path / "encoders" / "tiny")
    torch.manual_seed(0)
    model = TwoTower(exp, encoder)
    assert model.text.training == model.training
    save_run(tmp_path / "run", model.eval(), exp, encoder)
    with torch.no_grad():
        expected = model.embed_text(model.text(**model.text.tokenize(TITLES)))
    torch.testing.assert_close(load_embedder(tmp_path / "run").embed_sentences(TITLES), expected)

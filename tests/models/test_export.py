from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

import cpd
from cpd.cli import main
from cpd.config import Encoder, Objective, Rho
from cpd.errors import CpdError
from cpd.fileio import sha256_file, write_json
from cpd.models import export
from cpd.models.checkpoint import save_run
from cpd.models.export import export_run
from cpd.models.two_tower import TwoTower
from tests.models.published_files import WORDS, write_skip_thoughts, write_word2vec
from tests.models.small_towers import distilbert, experiment

TITLES = ["a red ball", "Dog jumps"]


def run_of(tmp_path: Path, encoder: Encoder, *, lr_text: float | None = None) -> tuple[TwoTower, Path]:
    torch.manual_seed(0)
    exp = experiment(lr_text=lr_text)
    model = TwoTower(exp, encoder)
    if lr_text:
        with torch.no_grad():
            for parameter in model.text.parameters():
                parameter.add_(0.1)
    folder = tmp_path / "results" / "pretrain" / "tiny"
    save_run(folder, model.eval(), exp, encoder)
    return model, folder


def same(model: TwoTower, folder: Path) -> None:
    embedder = cpd.load(folder)
    with torch.no_grad():
        expected = model.embed_text(model.text.encode(TITLES))
    torch.testing.assert_close(embedder.embed_sentences(TITLES), expected, rtol=0, atol=0)
    for (name, one), two in zip(model.state_dict().items(), embedder.model.state_dict().values(), strict=True):
        assert torch.equal(one, two), name


@pytest.mark.parametrize("lr_text", [None, 1e-3])
def test_an_export_stands_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lr_text: float | None) -> None:
    """Also with a language model that was trained; run and encoder may be gone, and the folder moved."""
    model, folder = run_of(tmp_path, distilbert(tmp_path / "encoders" / "tiny"), lr_text=lr_text)
    export_run(folder, tmp_path / "out" / "cpd-tiny")
    shutil.rmtree(tmp_path / "results")
    shutil.rmtree(tmp_path / "encoders")
    moved = shutil.move(tmp_path / "out" / "cpd-tiny", tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    same(model, Path(moved))
    names = {path.name for path in Path(moved).iterdir()}
    assert names == {"README.md", "config.json", "encoder", "model.safetensors"}


def test_published_encoders_go_along(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = [*WORDS, "w1", "w2", "w3"]
    write_skip_thoughts(tmp_path / "skip", words=words)
    vectors = {word: rng.normal(size=3) for word in [*words[2:], "zebra"]}
    file = write_word2vec(tmp_path / "w2v.bin", vectors, binary=True)
    for encoder in (
        Encoder(path=str(file), kind="word2vec"),
        Encoder(path=str(tmp_path / "skip"), kind="skip_thoughts", vectors=str(file)),
    ):
        model, folder = run_of(tmp_path, encoder)
        target = export_run(folder, tmp_path / encoder.kind)
        file.rename(tmp_path / "away")
        same(model, target)
        (tmp_path / "away").rename(file)


def test_the_card_says_what_was_trained_and_quotes_result_files(tmp_path: Path) -> None:
    _, folder = run_of(tmp_path, distilbert(tmp_path / "encoders" / "tiny"))
    write_json(folder / "metrics.json", {"instances": 455, "epochs": 24, "steps": 696, "clips": 10920})
    views = {"clips": 10, "crops": 1, "frames": 8, "size": 128, "stride": 4}
    values = {"emb": {"top1": 49.25, "top5": 70.5, "chance": {"top1": 5.0}}, "failed": 0}
    result = {"protocol": "knn", "dataset": "kinetics", "split": "test", "n": 150, "views": views, "values": values}
    own = {"model.safetensors": sha256_file(folder / "model.safetensors")}
    results = tmp_path / "results" / "eval" / "tiny"
    write_json(results / "knn" / "kinetics-test.json", result | {"inputs": own})
    write_json(results / "linear" / "kinetics-test.json", result | {"inputs": {"model.safetensors": "0" * 64}})
    card = export_run(folder, tmp_path / "out").joinpath("README.md").read_text()
    assert "| knn | kinetics | test | emb top1 49.25, emb top5 70.50 | 150 | 10 x 1, 8 frames, 128 pixels |" in card
    assert "1 result files of other weights are left out" in card
    assert "| linear |" not in card
    assert "slow 3D ResNet-10, width 4" in card
    assert "455 instances, 24 epochs, 696 steps, 10920 clips" in card
    assert "language model frozen" in card
    code = card.split("```python\n")[1].split("```")[0]
    assert len(code.strip().splitlines()) == 3
    assert 'cpd.load("out")' in code


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (Objective(), "cross_pair (exact), tau 0.07"),
        (Objective(name="ranking"), "ranking, delta 0.2"),
        (Objective(name="self_instance", tau=0.1), "self_instance, tau 0.1"),
        (Objective(name="supervised"), "heads and text tower were not trained"),
    ],
)
def test_the_card_names_the_objective(tmp_path: Path, objective: Objective, words: str) -> None:
    exp, encoder = experiment(objective=objective), distilbert(tmp_path / "encoders" / "tiny")
    save_run(tmp_path / "run", TwoTower(exp, encoder), exp, encoder)
    card = export_run(tmp_path / "run", tmp_path / "out").joinpath("README.md").read_text()
    row = next(line for line in card.splitlines() if line.startswith("| objective |"))
    assert words in row


METHOD = Rho(method="moco", clips=2)
SENTENCES = "embed_sentences"
MEET = "meet on one unit sphere"
LEARNT = "learnt from titles that people wrote"


@pytest.mark.parametrize(
    ("over", "said", "unsaid"),
    [
        ({}, [MEET, SENTENCES, "`emb_D`", LEARNT, "| titles |", "licences"], ["2104.14558"]),
        (
            {"objective": Objective(rho=METHOD)},
            [MEET, SENTENCES, LEARNT, "They learnt [temporal persistency]", "512 videos of 2 clips", "licences"],
            [],
        ),
        (
            {"objective": Objective(name="persistency", rho=METHOD)},
            [
                "from videos alone",
                "2104.14558",
                "No title and no label",
                "512 videos of 2 clips",
                '.mp4")[1]',
                "licences",
            ],
            [MEET, SENTENCES, LEARNT, "emb_D", "| titles |"],
        ),
        (
            {"objective": Objective(name="supervised")},
            ["learnt from the labels", "mean nothing", '.mp4")[1]', "licences"],
            [MEET, SENTENCES, LEARNT, "emb_D", "| titles |", "persistency"],
        ),
        (
            {"objective": Objective(name="none"), "stages": ()},
            ["at random", "learnt nothing", "mean nothing", '.mp4")[1]'],
            [MEET, SENTENCES, LEARNT, "emb_D", "| titles |", "| stage 1 |", "| batch |", "| sources |", "licences"],
        ),
        (
            {"objective": Objective(name="self_instance")},
            [LEARNT, "sentences find no videos", "`emb_D`", "with that of other videos alone"],
            [MEET, SENTENCES],
        ),
        (
            {"shuffle_titles": True},
            ["shuffled over the videos, and say nothing", "sentences find no videos", "`emb_D`"],
            [MEET, SENTENCES, LEARNT],
        ),
    ],
    ids=["titles", "persistency beside titles", "persistency", "supervised", "none", "self-instance", "shuffled"],
)
def test_the_card_claims_what_the_objective_taught(
    tmp_path: Path, over: dict[str, Any], said: list[str], unsaid: list[str]
) -> None:
    exp, encoder = msgspec.structs.replace(experiment(), **over), distilbert(tmp_path / "encoders" / "tiny")
    save_run(tmp_path / "run", TwoTower(exp, encoder), exp, encoder)
    card = export_run(tmp_path / "run", tmp_path / "out").joinpath("README.md").read_text()
    assert [words for words in said if words not in card] == []
    assert [words for words in unsaid if words in card] == []


@pytest.mark.parametrize("whole", [True, False])
def test_the_card_of_an_import_goes_by_what_the_file_held(tmp_path: Path, whole: bool) -> None:
    """Not by the objective of the experiment that named the network: nothing was trained here."""
    _, folder = run_of(tmp_path, distilbert(tmp_path / "encoders" / "tiny"))
    absent = [] if whole else ["the video head", "the text head", "the language model"]
    origin = {"file": "slow.pth", "layout": "slowfast", "sha256": "0" * 64, "absent": absent}
    write_json(folder / "import.json", origin)
    write_json(folder / "metrics.json", {"epochs": 0, "steps": 0, "clips": 0, "imported": "slow.pth"})
    card = export_run(folder, tmp_path / "out").joinpath("README.md").read_text()
    assert "| objective | none: nothing was trained here |" in card
    assert "| imported | `slow.pth` (layout slowfast" in card
    assert "| training | none |" in card
    assert "Others trained these weights" in card
    assert (SENTENCES in card) == whole
    assert ("`emb` means nothing" in card) != whole
    assert not [words for words in (LEARNT, "| stage 1 |", "| titles |", "cross_pair") if words in card]


def test_a_card_without_result_files_says_so(tmp_path: Path) -> None:
    _, folder = run_of(tmp_path, distilbert(tmp_path / "encoders" / "tiny"))
    card = export_run(folder, tmp_path / "out").joinpath("README.md").read_text()
    assert "No result files were found" in card
    bad = tmp_path / "results" / "eval" / "tiny" / "knn" / "x.json"
    write_json(bad, ["not a result"])
    with pytest.raises(CpdError, match="not a result file"):
        export_run(folder, tmp_path / "out")
    assert (tmp_path / "out" / "README.md").read_text() == card


def test_an_export_is_whole_or_absent_and_replaces_only_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = run_of(tmp_path, distilbert(tmp_path / "encoders" / "tiny"))
    target = tmp_path / "out"
    export_run(folder, target)
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        patch.setattr(export, "model_card", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            export_run(folder, target)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir() if ".tmp" in path.name] == []
    (target / "thesis.tex").write_text("mine")
    with pytest.raises(CpdError, match=r"thesis.tex"):
        export_run(folder, target)
    with pytest.raises(CpdError, match="is the run itself"):
        export_run(folder, folder)


def test_the_verb_exports_and_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, folder = run_of(tmp_path, distilbert(tmp_path / "encoders" / "tiny"))
    assert main(["export", str(folder), str(tmp_path / "out"), "--name", "The tiny one"]) == 0
    assert "out/model.safetensors: " in capsys.readouterr().out
    assert (tmp_path / "out" / "README.md").read_text().startswith("# The tiny one\n")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["encoder"]["path"] == "encoder"
    assert main(["export", str(tmp_path / "nowhere"), str(tmp_path / "out2")]) == 2
    assert not (tmp_path / "out2").exists()


def test_import_cpd_is_light() -> None:
    """`import cpd` alone loads no torch; `cpd.load` does."""
    import subprocess

    code = "import sys, cpd; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(cpd.__file__).parents[1])

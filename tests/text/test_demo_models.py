from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from cpd.cli import main
from cpd.errors import CpdError
from cpd.fileio import read_json, sha256_file
from cpd.text import demo_encoder, demo_stanza

if TYPE_CHECKING:
    from cpd.config import Demo


def test_stanza_models_reach_full_marks_on_the_mini_grammar(stanza_folder: Path) -> None:
    metrics = read_json(stanza_folder / "metrics.json")
    assert sorted(path.name for path in stanza_folder.iterdir()) == ["depparse.pt", "metrics.json", "pos.pt"]
    assert metrics["upos"] > 95
    assert metrics["las"] > 90
    assert metrics["sentences"] == 20


def test_models_do_not_hold_the_folders_they_were_trained_in(stanza_folder: Path, demo: Demo) -> None:
    for name in ("pos.pt", "depparse.pt"):
        content = (stanza_folder / name).read_bytes()
        assert demo.folder.encode() not in content
        assert str(stanza_folder.parent).encode() not in content


@pytest.mark.slow
def test_stanza_training_is_deterministic(demo: Demo, tmp_path: Path) -> None:
    short = msgspec.structs.replace(demo, stanza_steps=3)
    hashes = []
    for name in ("a", "b"):
        demo_stanza.train(short, tmp_path / name)
        hashes.append([sha256_file(tmp_path / name / model) for model in ("pos.pt", "depparse.pt")])
    assert hashes[0] == hashes[1]


def test_the_encoder_learns_and_equal_seeds_give_equal_bytes(demo: Demo, tmp_path: Path) -> None:
    metrics = demo_encoder.train(demo, tmp_path / "a")
    demo_encoder.train(demo, tmp_path / "b")
    assert metrics["loss"] < metrics["untrained"]["loss"] - 0.5
    assert metrics["top1"] > 80
    assert read_json(tmp_path / "a" / "metrics.json") == metrics
    for name in ("model.safetensors", "tokenizer.json"):
        assert sha256_file(tmp_path / "a" / name) == sha256_file(tmp_path / "b" / name)
    other = msgspec.structs.replace(demo, seed=1)
    demo_encoder.train(other, tmp_path / "b")
    assert sha256_file(tmp_path / "a" / "model.safetensors") != sha256_file(tmp_path / "b" / "model.safetensors")


def test_the_tokenizer_spells_unseen_words_and_knows_seen_ones() -> None:
    tokenizer = demo_encoder.train_tokenizer(["The man throws", "a man rides"])
    assert tokenizer.pad_token_id == 0
    assert tokenizer.tokenize("MAN") == ["man"]
    assert tokenizer.tokenize("zebra") == ["z", "##e", "##b", "##r", "##a"]
    assert tokenizer.decode(tokenizer("man throws zebra")["input_ids"], skip_special_tokens=True) == "man throws zebra"


def test_missing_or_empty_input_is_named(demo: Demo, tmp_path: Path) -> None:
    nowhere = msgspec.structs.replace(demo, folder=str(tmp_path / "nowhere"))
    with pytest.raises(CpdError, match=r"train.conllu"):
        demo_stanza.train(nowhere, tmp_path / "out")
    with pytest.raises(CpdError, match=r"paragraphs.txt: no such file"):
        demo_encoder.train(nowhere, tmp_path / "out")
    for content, problem in (("\n\n", "0 paragraphs"), ("a\tb\nc\n", "paragraph 2 is not two sentences")):
        (tmp_path / "paragraphs.txt").write_text(content)
        with pytest.raises(CpdError, match=problem):
            demo_encoder.train(msgspec.structs.replace(demo, folder=str(tmp_path)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_commands_need_a_demo_section_and_write_the_folder(
    demo: Demo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty: dict[str, object] = {name: {} for name in ("sources", "datasets", "encoders", "experiments", "tables")}
    config = {**empty, "results": "r", "data": "d", "run": []}
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(config))
    for verb in ("demo-stanza", "demo-encoder"):
        assert main([verb, "--configfile", str(path), "--output", str(tmp_path / "out")]) == 2
        assert "no `demo`" in capsys.readouterr().err
    short = msgspec.structs.replace(demo, encoder_steps=2)
    path.write_text(json.dumps({**config, "demo": msgspec.to_builtins(short)}))
    assert main(["demo-encoder", "--configfile", str(path), "--output", str(tmp_path / "out")]) == 0
    assert "held-out neighbour found" in capsys.readouterr().out
    assert (Path(tmp_path) / "out" / "config.json").is_file()

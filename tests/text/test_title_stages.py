from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from cpd.cli import main
from cpd.config import Text
from cpd.fileio import read_jsonl, write_jsonl
from cpd.text import download
from cpd.text.tree import TreeParser

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "$(touch PWNED) `id`; {output} \"dogs\" 'run' <script>\n\u0000\ud800"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A config with one source, and its crawl rows in two chunks."""
    config = {
        "results": str(tmp_path / "results"),
        "data": str(tmp_path / "data"),
        "sources": {"web": {"kind": "titles", "lists": {"train": "list.txt"}, "pairs": {"train": 6}}},
        "datasets": {},
        "encoders": {},
        "experiments": {},
        "run": [],
        "tables": {},
        "text": {"stanza_dir": str(tmp_path / "stanza")},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    ok = {"status": "ok", "reason": ""}
    crawl = tmp_path / "results" / "sources" / "web" / "crawl"
    rows = [
        {"id": "a", "title": "The Dog Kicks a Red Ball!", **ok},
        {"id": "b", "title": "", "status": "gone", "reason": "removed"},
        {"id": "c", "title": "\U0001f389", **ok},
        {"id": "d", "title": HOSTILE, **ok},
    ]
    write_jsonl(crawl / "train-0000.jsonl", rows)
    write_jsonl(crawl / "train-0001.jsonl", [{"id": "e", "title": "MVI_0042.AVI", **ok}])
    return tmp_path


def _run(folder: Path, verb: str, *options: str) -> int:
    return main([verb, *options, "--configfile", str(folder / "config.yaml")])


def _rows(folder: Path, stage: str, chunk: str = "train-0000") -> list[dict[str, Any]]:
    return read_jsonl(folder / "results" / "sources" / "web" / stage / f"{chunk}.jsonl")


def test_title_clean_writes_one_row_per_ok_id(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(folder, "title-clean", "--source", "web", "--chunk", "train-0000", "train-0001") == 0
    rows = _rows(folder, "clean")
    assert [(r["id"], r["status"], r["reason"]) for r in rows] == [
        ("a", "ok", ""),
        ("c", "empty_text", "no_words"),
        ("d", "ok", ""),
    ]
    assert rows[0]["title_clean"] == "The Dog Kicks a Red Ball"
    assert rows[2]["title"] == HOSTILE.replace("\ud800", "\ufffd")
    assert [row["replaced"] for row in rows] == [False, False, True]
    assert _rows(folder, "clean", "train-0001")[0]["reason"] == "camera_file"
    assert "3 titles, 2 ok (no_words 1)" in capsys.readouterr().out


def test_title_clean_twice_gives_equal_bytes(folder: Path) -> None:
    path = folder / "results" / "sources" / "web" / "clean" / "train-0000.jsonl"
    _run(folder, "title-clean", "--source", "web", "--chunk", "train-0000")
    first = path.read_bytes()
    _run(folder, "title-clean", "--source", "web", "--chunk", "train-0000")
    assert path.read_bytes() == first


def test_bad_input_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(folder, "title-clean", "--source", "wbe", "--chunk", "train-0000") == 2
    assert "wbe" in capsys.readouterr().err
    assert _run(folder, "title-clean", "--source", "web", "--chunk", "train-0009") == 2
    assert "train-0009.jsonl" in capsys.readouterr().err
    bad = folder / "results" / "sources" / "web" / "crawl" / "train-0002.jsonl"
    write_jsonl(bad, [{"id": "x", "title": 7, "status": "ok"}])
    assert _run(folder, "title-clean", "--source", "web", "--chunk", "train-0002") == 2
    assert "title of 'x' is 7" in capsys.readouterr().err
    assert not (folder / "results" / "sources" / "web" / "clean" / "train-0002.jsonl").exists()


def test_a_bad_title_is_flagged_and_the_other_499_are_clean(folder: Path) -> None:
    """Faults 12, 13, 14: NUL stays in the raw title, a lone surrogate becomes U+FFFD, "NA" stays "NA"."""
    ok = {"status": "ok", "reason": ""}
    titles = [f"the dog runs {n}" for n in range(497)] + ["the dog \ud83d runs", "the \x00dog\x07 runs", "NA"]
    crawl = folder / "results" / "sources" / "web" / "crawl" / "train-0003.jsonl"
    write_jsonl(crawl, [{"id": str(n), "title": title, **ok} for n, title in enumerate(titles)])
    assert _run(folder, "title-clean", "--source", "web", "--chunk", "train-0003") == 0
    rows = _rows(folder, "clean", "train-0003")
    assert [row["title"] for row in rows[497:]] == ["the dog \ufffd runs", "the \x00dog\x07 runs", "NA"]
    assert [row["title_clean"] for row in rows] == [*titles[:497], "the dog runs", "the dog runs", ""]
    assert [row["id"] for row in rows if row["replaced"]] == ["497"]
    assert (rows[-1]["status"], rows[-1]["reason"]) == ("empty_text", "not_english")


def _with_models(folder: Path, settings: Text) -> None:
    config = json.loads((folder / "config.yaml").read_text())
    config["text"] = msgspec.to_builtins(settings)
    (folder / "config.yaml").write_text(json.dumps(config))


def test_title_tree_adds_the_tree_and_loads_stanza_once(
    folder: Path, stanza_settings: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_models(folder, stanza_settings)
    loaded: list[Text] = []
    init = TreeParser.__init__

    def counted(self: TreeParser, settings: Text) -> None:
        loaded.append(settings)
        init(self, settings)

    monkeypatch.setattr(TreeParser, "__init__", counted)
    chunks = ["--chunk", "train-0000", "train-0001"]
    assert _run(folder, "title-clean", "--source", "web", *chunks) == 0
    assert _run(folder, "title-tree", "--source", "web", *chunks) == 0
    assert len(loaded) == 1
    rows = _rows(folder, "tree")
    for row, before in zip(rows, _rows(folder, "clean"), strict=True):
        assert {key: row[key] for key in before} == before
    assert rows[0]["title_tree"] == "Dog Kicks Ball"
    assert not rows[0]["tree_fallback"]
    assert rows[1]["title_tree"] == ""


def test_title_tree_goes_on_where_it_was_stopped(
    folder: Path, stanza_settings: Text, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Chunks that are parsed from the same titles in the same way stay; all else is parsed again."""
    _with_models(folder, stanza_settings)
    parsed: list[list[str]] = []
    parse = TreeParser.parse
    monkeypatch.setattr(TreeParser, "parse", lambda self, titles: parsed.append(titles) or parse(self, titles))
    both = ["--source", "web", "--chunk", "train-0000", "train-0001"]
    _run(folder, "title-clean", *both)
    assert _run(folder, "title-tree", *both[:-1]) == 0
    path = folder / "results" / "sources" / "web" / "tree" / "train-0000.jsonl"
    first = path.read_bytes()
    assert (_run(folder, "title-tree", *both), len(parsed)) == (0, 2)
    assert "train-0000: 3 titles, 2 ok (no_words 1); already parsed" in capsys.readouterr().out
    assert path.read_bytes() == first
    for damage in (first[:-20], b"", b"5\n", first.replace(b"Kicks", b"Climbs"), b"\xff"):
        path.write_bytes(damage)
        assert _run(folder, "title-tree", *both) == 0
        assert path.read_bytes() == first
    assert len(parsed) == 7
    _with_models(folder, msgspec.structs.replace(stanza_settings, proper_nouns=False))
    assert (_run(folder, "title-tree", *both), len(parsed)) == (0, 9)


def test_a_title_the_parser_fails_on_is_quarantined(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 19."""
    from cpd.text import tree

    class Pipeline:
        def __call__(self, batch: list[list[str]]) -> Any:
            if any("Kicks" in words for words in batch):
                raise ValueError("boom")
            return type("Document", (), {"sentences": [type("Sentence", (), {"words": []}) for _ in batch]})

    monkeypatch.setattr(tree, "load_pipeline", lambda settings: Pipeline())
    (folder / "stanza").mkdir()
    (folder / "stanza" / "resources.json").write_text("{}")
    _run(folder, "title-clean", "--source", "web", "--chunk", "train-0000")
    assert _run(folder, "title-tree", "--source", "web", "--chunk", "train-0000") == 0
    first, _, last = _rows(folder, "tree")
    assert (first["status"], first["reason"]) == ("empty_text", "parse_failed: ValueError: boom")
    assert (last["status"], last["tree_fallback"], last["title_tree"]) == ("ok", True, last["title_clean"])


def test_title_tree_without_models_says_how_to_get_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(folder, "title-tree", "--source", "web", "--chunk", "train-0000") == 2
    assert "title-tree --download" in capsys.readouterr().err
    assert _run(folder, "title-tree") == 2
    assert "--source" in capsys.readouterr().err


def test_download_fetches_once_and_leaves_nothing_when_it_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import stanza

    calls: list[str] = []

    def broken(lang: str, *, model_dir: str, **_: Any) -> None:
        calls.append(model_dir)
        (folder / model_dir / "resources.json").write_text("{}")
        raise ConnectionError("no network")

    def works(lang: str, *, model_dir: str, **_: Any) -> None:
        calls.append(model_dir)
        (folder / model_dir / "resources.json").write_text("{}")

    monkeypatch.setattr(stanza, "download", broken)
    assert _run(folder, "title-tree", "--download") == 75
    assert not (folder / "stanza").exists()
    monkeypatch.setattr(stanza, "download", works)
    assert _run(folder, "title-tree", "--download") == 0
    assert [path.name for path in (folder / "stanza").iterdir()] == ["resources.json"]
    settings = Text(stanza_dir=str(folder / "stanza"))
    assert not download.download_models(settings)
    assert len(calls) == 2
    assert download.download_models(msgspec.structs.replace(settings, lemmas=True)), "there is no lemmatizer yet"
    (folder / "stanza" / "en" / "lemma").mkdir(parents=True)
    (folder / "stanza" / "en" / "lemma" / "default.pt").touch()
    assert not download.download_models(msgspec.structs.replace(settings, lemmas=True))

"""Hostile ids and titles through every stage of the command line, from the list to the tar."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cpd.cli import main
from cpd.config import Config, load_config
from cpd.fileio import read_json, read_jsonl
from cpd.shards.read import SampleTable
from cpd.text import tree
from tests.sources.scripted_site import make_config

TITLES = [
    'the dog says "hello" to a man',
    "the dog's owner isn't 'here'",
    "the dog $(touch PWNED) runs",
    "the dog `touch PWNED` runs",
    'the dog"; touch PWNED; echo "runs',
    "the dog'; touch PWNED; echo 'runs",
    "the dog && touch PWNED || runs | tee PWNED > PWNED",
    "the dog\nruns\r\nover two lines",
    "the dog\truns over tabs",
    "the dog {output} {wildcards.chunk} {{ 7*7 }} runs",
    "the dog %s %(title)s %d runs",
    "the dog ${HOME} $HOME ~ * ? [a-z] runs",
    "the dog \\ \\n \\x00 \\u0000 runs",
    "the dog <script>alert(1)</script> <img src=x onerror=alert(1)> runs",
    "the dog $\\frac{1}$ and x^2_3 runs",
    "the dog runs \x00\x01\x1b[31m\x7f",
    "the dog runs \u202e\u200b\ufeff \U0001f415\U0001f3fd\u200d\u2640\ufe0f",
    "=cmd|' /C calc'!A0 the dog runs",
    "-rf --no-preserve-root the dog runs",
    "../../../etc/passwd the dog runs",
    "the dog runs " + "and runs " * 12_000,
]
EMPTY = {"": "no_title", "NA": "not_english", "null": "not_english", "nan": "not_english", "\U0001f389": "no_words"}
BAD_IDS = ["", "../../../PWNED", "/PWNED", "$(touch PWNED)", "`touch PWNED`", "a;touch PWNED", "a" * 300, "a\n", "a b"]
GOOD_IDS = ["-rf", "_", "NaN", "1234567e890", "aaa", "AAA"]


class Tagger:
    """Calls every word a noun."""

    def __call__(self, batch: list[list[str]]) -> Any:
        word = lambda text: SimpleNamespace(text=text, upos="NOUN", lemma=text)  # noqa: E731
        return SimpleNamespace(sentences=[SimpleNamespace(words=[word(w) for w in words]) for words in batch])


@pytest.fixture
def site(tmp_path: Path, tiny_video: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A config with one Instagram list: good ids have a title of `TITLES`, bad ones do not matter."""
    ids = [*GOOD_IDS, *(f"t{n}" for n in range(len(TITLES) + len(EMPTY) - len(GOOD_IDS)))]
    titles = dict(zip(ids, [*TITLES, *EMPTY], strict=True)) | dict.fromkeys(BAD_IDS, "a dog")
    (tmp_path / "videos").mkdir()
    for identity in ids:
        (tmp_path / "videos" / f"{identity}.mp4").hardlink_to(tiny_video)
    entries = {identity: {"subset": "training", "caption": title} for identity, title in titles.items()}
    (tmp_path / "list.json").write_text(json.dumps(entries))
    source = {
        "kind": "instagram",
        "lists": {"train": str(tmp_path / "list.json")},
        "pairs": {"train": len(titles)},
        "videos": str(tmp_path / "videos"),
    }
    make_config(tmp_path, {"web": source})
    (tmp_path / "stanza").mkdir()
    (tmp_path / "stanza" / "resources.json").write_text("{}")
    with open(tmp_path / "config.yaml", "a") as handle:
        handle.write(f"text: {{stanza_dir: {tmp_path}/stanza}}\nclips: {{min_frames: 1, preset: ultrafast}}\n")
    monkeypatch.setattr(tree, "load_pipeline", lambda settings: Tagger())
    monkeypatch.chdir(tmp_path)
    return load_config(tmp_path / "config.yaml")


def run(*stages: str) -> None:
    for stage in stages:
        chunk = [] if stage in ("chunks", "index") else ["--chunk", "train-0000"]
        assert main([stage, "--source", "web", *chunk, "--configfile", "config.yaml"]) == 0, stage


def traces(folder: Path) -> set[Path]:
    """Files that a title or an id run as a command would make; other tests beside `folder` may have made some."""
    return {path for path in (*Path("/tmp").iterdir(), *folder.parent.rglob("*PWNED*")) if "PWNED" in path.name}


def test_from_list_to_tar(site: Config, tmp_path: Path) -> None:
    """Faults 1, 2, 3, 4, 11, 12, 14, 15: ids and titles are data, and every row is accounted for."""
    before = traces(tmp_path)
    run("chunks", "crawl", "title-clean", "title-tree", "clips", "shard", "index")

    ledger = {row["id"]: row for row in read_jsonl(f"{site.results}/sources/web/shards/train-0000.ledger.jsonl")}
    assert {i for i, row in ledger.items() if row["status"] == "invalid_id"} == set(BAD_IDS)
    assert {row["reason"] for row in ledger.values() if row["status"] == "empty_text"} == set(EMPTY.values())
    counts = read_json(f"{site.results}/sources/web/shards/index.json")["ledger"]["train"]
    assert counts == {"ok": len(TITLES), "empty_text": len(EMPTY), "invalid_id": len(BAD_IDS)}

    table = SampleTable.open(Path(site.results), [("web", "train")])
    assert [meta["title"] for meta in table.meta] == TITLES
    assert {"-rf", "_", "NaN", "1234567e890", "aaa", "AAA"} <= {meta["id"] for meta in table.meta}
    assert len(set(table.keys)) == len(TITLES)
    for meta in table.meta:
        for key in ("title_clean", "title_tree"):
            assert meta[key].isascii()
            assert meta[key].isprintable()
            assert "dog" in meta[key]
            assert len(meta[key]) <= site.text.max_chars
    cut = [row["id"] for row in read_jsonl(f"{site.results}/sources/web/clean/train-0000.jsonl") if row["cut"]]
    assert cut == [f"t{len(TITLES) - len(GOOD_IDS) - 1}"]

    assert traces(tmp_path) == before
    allowed = {"config.yaml", "list.json", "videos", "stanza", "results", "data"}
    assert {path.name for path in tmp_path.iterdir()} == allowed

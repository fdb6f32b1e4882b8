from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cpd.config import Text
from cpd.errors import CpdError
from cpd.text import tree
from cpd.text.tree import Tree, TreeParser

if TYPE_CHECKING:
    from pathlib import Path

UPOS = {"man": "NOUN", "throws": "VERB", "paris": "PROPN", "is": "AUX", "henry": "PROPN", "'s": "VERB", "-": "NOUN"}


class FakePipeline:
    """Tags by table, notes the size of each call and crashes on a word."""

    def __init__(self, *, poison: str = "poison") -> None:
        self.calls: list[int] = []
        self.poison = poison

    def __call__(self, batch: list[list[str]]) -> Any:
        self.calls.append(len(batch))
        if any(self.poison in words for words in batch):
            raise RuntimeError("boom")
        word = lambda text: SimpleNamespace(text=text, upos=UPOS.get(text.lower(), "X"))  # noqa: E731
        return SimpleNamespace(sentences=[SimpleNamespace(words=[word(w) for w in words]) for words in batch])


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> FakePipeline:
    fake = FakePipeline()
    monkeypatch.setattr(tree, "load_pipeline", lambda settings: fake)
    return fake


def test_verbs_and_nouns_stay_in_order_as_written(pipeline: FakePipeline) -> None:
    parser = TreeParser(Text())
    assert parser.trees(["A Man is in PARIS and Throws it", "man"]) == ["Man PARIS Throws", "man"]
    assert TreeParser(Text(proper_nouns=False)).trees(["A Man in PARIS"]) == ["Man"]


def test_clitics_and_hyphens_are_never_kept_whatever_the_tagger_says(pipeline: FakePipeline) -> None:
    assert TreeParser(Text()).trees(["Henry's man-throws"]) == ["Henry man throws"]


def test_no_verb_and_no_noun_falls_back_to_the_title(pipeline: FakePipeline) -> None:
    assert TreeParser(Text()).parse(["too good", ""]) == [Tree("too good", fallback=True), Tree("")]


def test_titles_are_parsed_in_bulk(pipeline: FakePipeline) -> None:
    TreeParser(Text(batch_size=40)).trees(["man throws"] * 100)
    assert pipeline.calls == [40, 40, 20]


def test_one_title_that_crashes_the_parser_is_told_and_the_rest_go_on(pipeline: FakePipeline) -> None:
    titles = ["man throws"] * 13
    titles[5] = "poison"
    trees = TreeParser(Text()).parse(titles)
    assert [t.text for t in trees] == ["man throws"] * 5 + [""] + ["man throws"] * 7
    assert trees[5].error == "RuntimeError: boom"
    assert len(pipeline.calls) < 13


def test_a_parser_that_fails_on_everything_is_an_error(pipeline: FakePipeline) -> None:
    with pytest.raises(CpdError, match=r"all of 3 titles.*boom"):
        TreeParser(Text()).parse(["poison"] * 3)


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Henry's dog don't", ["Henry", "'s", "dog", "do", "n't"]),
        ("Ready-to-Wear they'LL", ["Ready", "-", "to", "-", "Wear", "they", "'LL"]),
        ("rock'n'roll 3,000", ["rock'n'roll", "3,000"]),
    ],
)
def test_words_are_cut_as_treebanks_do(title: str, words: list[str]) -> None:
    assert list(tree.tokens(title)) == words


def test_missing_models_are_named_without_asking_the_network(tmp_path: Path) -> None:
    with pytest.raises(CpdError, match=r"nothing.pt"):
        TreeParser(Text(pos_model=str(tmp_path / "nothing.pt"), depparse_model=str(tmp_path / "no.pt")))
    with pytest.raises(CpdError, match="together"):
        TreeParser(Text(pos_model="pos.pt"))
    with pytest.raises(CpdError) as caught:
        TreeParser(Text(stanza_dir=str(tmp_path / "empty")))
    assert "empty" in caught.value.message
    assert "--download" in caught.value.hint


def test_a_broken_model_file_is_named(tmp_path: Path) -> None:
    for name in ("pos.pt", "depparse.pt"):
        (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(CpdError, match=r"pos.pt.*cannot load"):
        TreeParser(Text(pos_model=str(tmp_path / "pos.pt"), depparse_model=str(tmp_path / "depparse.pt")))


def test_stanza_parses_with_models_of_the_demo(stanza_settings: Text) -> None:
    parser = TreeParser(stanza_settings)
    titles = ["The Dog Kicks A Red Ball", "the man rides a red bike", "", "THE MAN PAINTS A RED TREE"]
    assert parser.trees(titles) == ["Dog Kicks Ball", "man rides bike", "", "MAN PAINTS TREE"]
    assert parser.trees(titles) == [parser.trees([title])[0] for title in titles]

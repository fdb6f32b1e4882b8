from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from cpd.config import Text
from cpd.errors import CpdError
from cpd.text import tree
from cpd.text.models import parser_digest
from cpd.text.tree import Tree, TreeParser

UPOS = {"man": "NOUN", "throws": "VERB", "paris": "PROPN", "is": "AUX", "henry": "PROPN", "'s": "VERB", "-": "NOUN"}

LEMMA = {"throws": "throw", "Throws": "\u5f00", "man": "_"}


class FakePipeline:
    """Tags by table, notes the size of each call and crashes on a word."""

    def __init__(self, *, poison: str = "poison") -> None:
        self.calls: list[int] = []
        self.poison = poison

    def __call__(self, batch: list[list[str]]) -> Any:
        self.calls.append(len(batch))
        if any(self.poison in words for words in batch):
            raise RuntimeError("boom")
        word = lambda text: SimpleNamespace(text=text, upos=UPOS.get(text.lower(), "X"), lemma=LEMMA.get(text))  # noqa: E731
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


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for an address fails the test."""

    def asked(*args: Any, **_: Any) -> None:
        pytest.fail(f"the network was asked: {args}")

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    monkeypatch.setattr(socket.socket, "connect", asked)


@pytest.mark.usefixtures("offline")
def test_missing_models_are_named_without_asking_the_network(tmp_path: Path) -> None:
    """Fault 20."""
    with pytest.raises(CpdError, match=r"text.pos_model: .*nothing.pt"):
        TreeParser(Text(pos_model=str(tmp_path / "nothing.pt"), depparse_model=str(tmp_path / "no.pt")))
    with pytest.raises(CpdError, match="together"):
        TreeParser(Text(pos_model="pos.pt"))
    with pytest.raises(CpdError) as caught:
        TreeParser(Text(stanza_dir=str(tmp_path / "empty")))
    assert "empty" in caught.value.message
    assert "--download" in caught.value.hint


@pytest.mark.usefixtures("offline")
def test_a_broken_model_file_is_named(tmp_path: Path) -> None:
    """Fault 20."""
    for name in ("pos.pt", "depparse.pt"):
        (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(CpdError, match=r"pos.pt.*cannot load"):
        TreeParser(Text(pos_model=str(tmp_path / "pos.pt"), depparse_model=str(tmp_path / "depparse.pt")))


@pytest.mark.usefixtures("offline")
def test_a_package_without_its_files_or_with_broken_ones_is_named(tmp_path: Path, stanza_settings: Text) -> None:
    """Fault 20: resources.json is there, the models are not, or are cut short; or the whole package is there."""
    settings = _package(tmp_path / "stanza", stanza_settings)
    assert TreeParser(settings).trees(["The Dog Kicks A Red Ball"]) == ["Dog Kicks Ball"]
    tagger = tmp_path / "stanza" / "en" / "pos" / "demo.pt"
    tagger.write_bytes(tagger.read_bytes()[:1000])
    with pytest.raises(CpdError, match=r"/stanza: stanza cannot load its models"):
        TreeParser(settings)
    tagger.unlink()
    with pytest.raises(CpdError, match=r"/stanza: stanza's English models are missing.*pos") as caught:
        TreeParser(settings)
    assert "--download" in caught.value.hint
    (tmp_path / "stanza" / "resources.json").write_text("{torn")
    with pytest.raises(CpdError, match=r"/stanza: stanza cannot load its models"):
        TreeParser(settings)


def _package(folder: Path, own: Text) -> Text:
    """The models in the layout of a download."""
    described: dict[str, Any] = {"lang_name": "English", "tokenize": {"demo": {}}, "lemma": {}}
    described["default_processors"] = {"tokenize": "demo", "pos": "demo", "depparse": "demo", "lemma": "identity"}
    for name, path in (("pos", own.pos_model), ("depparse", own.depparse_model)):
        target = folder / "en" / name / "demo.pt"
        target.parent.mkdir(parents=True)
        target.write_bytes(Path(str(path)).read_bytes())
        described[name] = {"demo": {"md5": hashlib.md5(target.read_bytes()).hexdigest(), "dependencies": []}}
    described["packages"] = {"default": described["default_processors"]}
    (folder / "resources.json").write_text(json.dumps({"en": described}))
    return Text(stanza_dir=str(folder))


def test_stanza_parses_with_models_of_the_demo(stanza_settings: Text) -> None:
    parser = TreeParser(stanza_settings)
    titles = ["The Dog Kicks A Red Ball", "the man rides a red bike", "", "THE MAN PAINTS A RED TREE"]
    assert parser.trees(titles) == ["Dog Kicks Ball", "man rides bike", "", "MAN PAINTS TREE"]
    assert parser.trees(titles) == [parser.trees([title])[0] for title in titles]


def test_lemmas_stand_where_the_words_stood(pipeline: FakePipeline) -> None:
    """A lemma that is no word (`_`, another script) leaves the word as written."""
    settings = Text(lemmas=True)
    assert TreeParser(settings).trees(["A Man throws it", "the man Throws it"]) == ["Man throw", "man Throws"]
    assert TreeParser(Text()).trees(["A Man throws it"]) == ["Man throws"]


def test_stanza_s_lemmatizer(lemma_settings: Text) -> None:
    parser = TreeParser(lemma_settings)
    titles = ["The Dog Kicks A Red Ball", "the man rides a red bike"]
    assert parser.trees(titles) == ["dog kick ball", "man ride bike"]
    assert parser.trees(titles[:1]) == ["dog kick ball"]


def test_lemmas_without_a_model_of_them_are_refused(tmp_path: Path, stanza_settings: Text) -> None:
    with pytest.raises(CpdError, match=r"text.lemmas needs text.lemma_model"):
        TreeParser(msgspec.structs.replace(stanza_settings, lemmas=True))
    with pytest.raises(CpdError, match=r"text.lemma_model: .*no.pt: no such"):
        TreeParser(msgspec.structs.replace(stanza_settings, lemmas=True, lemma_model=str(tmp_path / "no.pt")))
    package = msgspec.structs.replace(_package(tmp_path / "stanza", stanza_settings), lemmas=True)
    with pytest.raises(CpdError, match=r"/stanza: no lemmatizer among stanza's models"):
        TreeParser(package)


def test_the_parser_s_digest_tells_models_and_options_apart(tmp_path: Path, stanza_settings: Text) -> None:
    def digest(**changed: Any) -> str:
        return parser_digest(msgspec.structs.replace(stanza_settings, **changed))

    other = tmp_path / "other.pt"
    other.write_bytes(b"another")
    digests = [digest(), digest(proper_nouns=False), digest(lemmas=True, lemma_model=str(other))]
    digests.append(digest(pos_model=str(other)))
    assert len(set(digests)) == 4
    assert digest(batch_size=1, max_chars=7) == digests[0]

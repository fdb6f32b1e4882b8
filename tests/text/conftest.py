"""A mini treebank and the stanza models trained on it, once per session."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from cpd.config import Demo, Text

if TYPE_CHECKING:
    from pathlib import Path

NOUNS = ["man", "dog", "ball", "bike", "rope", "tree", "kite", "boat"]
VERBS = ["throws", "rides", "climbs", "kicks", "paints"]


def sentence(rng: random.Random) -> list[tuple[str, str, int, str]]:
    """`The man throws a red ball`: (form, upos, head, deprel) by word."""
    words = [("the", "DET", 2, "det"), (rng.choice(NOUNS), "NOUN", 3, "nsubj"), (rng.choice(VERBS), "VERB", 0, "root")]
    words += [("a", "DET", 6, "det"), ("red", "ADJ", 6, "amod"), (rng.choice(NOUNS), "NOUN", 3, "obj")]
    style = rng.choice([str.lower, str.upper, str.title])
    return [(style(form), upos, head, deprel) for form, upos, head, deprel in words]


def lemma(form: str, upos: str) -> str:
    return form.lower().removesuffix("s") if upos == "VERB" else form.lower()


def conllu(n: int, seed: int) -> str:
    rng = random.Random(seed)
    blocks = []
    for number in range(n):
        words = sentence(rng)
        rows = [
            f"{i}\t{form}\t{lemma(form, upos)}\t{upos}\t_\t_\t{head}\t{deprel}\t_\t_"
            for i, (form, upos, head, deprel) in enumerate(words, start=1)
        ]
        text = " ".join(form for form, *_ in words)
        blocks.append("\n".join([f"# sent_id = {number}", f"# text = {text}", *rows, "", ""]))
    return "".join(blocks)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    (folder / "treebank").mkdir()
    (folder / "treebank" / "train.conllu").write_text(conllu(100, seed=0))
    (folder / "treebank" / "dev.conllu").write_text(conllu(20, seed=1))
    titles = [line[9:] for line in conllu(100, seed=2).split("\n") if line.startswith("# text")]
    paragraphs = [f"{title}\t{' '.join(reversed(title.split()))}" for title in titles]
    (folder / "paragraphs.txt").write_text("\n".join(paragraphs) + "\n")
    return Demo(folder=str(folder), stanza_steps=30, encoder_steps=30, encoder_dim=32, encoder_layers=1)


@pytest.fixture(scope="session")
def stanza_folder(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cpd.text import demo_stanza

    folder = tmp_path_factory.mktemp("models") / "stanza"
    demo_stanza.train(demo, folder)
    return folder


@pytest.fixture(scope="session")
def stanza_settings(stanza_folder: Path) -> Text:
    return Text(pos_model=str(stanza_folder / "pos.pt"), depparse_model=str(stanza_folder / "depparse.pt"))


@pytest.fixture(scope="session")
def lemma_settings(demo: Demo, stanza_settings: Text, tmp_path_factory: pytest.TempPathFactory) -> Text:
    """The same models and a lemmatizer, stanza's own, of a dictionary alone (so it needs no training)."""
    from stanza.models import lemmatizer
    from stanza.resources.common import logging_level_context

    folder = tmp_path_factory.mktemp("lemma")
    treebank = f"{demo.folder}/treebank"
    files = ["--train_file", f"{treebank}/train.conllu", "--eval_file", f"{treebank}/dev.conllu"]
    options = ["--dict_only", "--cpu", "--shorthand", "en_demo", "--save_dir", str(folder), "--save_name", "lemma.pt"]
    with logging_level_context("ERROR", None):
        lemmatizer.main([*files, *options])
    return msgspec.structs.replace(stanza_settings, lemma_model=str(folder / "lemma.pt"), lemmas=True)

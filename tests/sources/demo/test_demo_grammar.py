import html
import re

import pytest

from cpd.sources.demo import classes, grammar, titles, treebank
from cpd.sources.demo import vocabulary as words
from cpd.sources.demo.classes import Category, stream

MOTION_WORDS = {
    motion: {form for verb in verbs for form in (verb.finite, verb.gerund, verb.base)}
    for motion, verbs in words.VERBS.items()
}
COLOUR_WORDS = {colour: set(names) for colour, names in words.COLOURS.items()}
SHAPE_WORDS = {shape: set(names) for shape, names in words.SHAPES.items()}


def words_of(title: str) -> set[str]:
    without_tags = re.sub(r"#\w+", "", html.unescape(title))
    return set(re.findall(r"[a-z]+", without_tags.lower()))


def named(table: dict[str, set[str]], title: str) -> set[str]:
    return {key for key, names in table.items() if names & words_of(title)}


@pytest.mark.parametrize("category", classes.ALL, ids=lambda category: category.hmdb51)
def test_a_title_tells_its_own_video_and_no_other(category: Category) -> None:
    for i in range(60):
        title = titles.title(category, stream("titles", category, i))
        told = (named(MOTION_WORDS, title.text), named(COLOUR_WORDS, title.text), named(SHAPE_WORDS, title.text))
        motion, colour, shape = {category.motion}, {category.colour}, {category.shape}
        expected = {
            "plain": (motion, colour, shape),
            "no_motion": (set(), colour, shape),
            "no_colour": (motion, set(), shape),
            "irrelevant": (set(), set(), set()),
        }[title.kind]
        assert told == expected, title


def test_title_kinds_have_their_shares() -> None:
    kinds = [titles.title(classes.ALL[i % 30], stream("shares", i)).kind for i in range(3000)]
    shares = {kind: kinds.count(kind) / len(kinds) for kind in set(kinds)}
    assert 0.74 < shares["plain"] < 0.82
    assert 0.045 < shares["irrelevant"] < 0.075
    assert 0.06 < shares["no_motion"] < 0.10
    assert 0.06 < shares["no_colour"] < 0.10


def rows(conllu: str) -> list[list[list[str]]]:
    blocks = [block.split("\n") for block in conllu.strip().split("\n\n")]
    return [[line.split("\t") for line in block if not line.startswith("#")] for block in blocks]


def test_treebank_holds_projective_trees_that_spell_their_text() -> None:
    conllu = treebank.conllu(300, seed=3, name="train")
    texts = re.findall(r"^# text = (.*)$", conllu, re.MULTILINE)
    sentences = rows(conllu)
    assert len(sentences) == len(texts) == 300
    for text, sentence in zip(texts, sentences, strict=True):
        assert [len(row) for row in sentence] == [10] * len(sentence)
        assert [row[0] for row in sentence] == [str(n + 1) for n in range(len(sentence))]
        assert " ".join(row[1] for row in sentence) == text
        heads = {int(row[0]): int(row[6]) for row in sentence}
        assert [row[7] for row in sentence if row[6] == "0"] == ["root"]
        assert_tree(heads)


def assert_tree(heads: dict[int, int]) -> None:
    for node in heads:
        seen = set()
        while node:
            assert node not in seen, "a cycle"
            seen.add(node)
            node = heads[node]
    arcs = [tuple(sorted(arc)) for arc in heads.items() if arc[1]]
    for a, b in arcs:
        assert not any(a < c < b < d for c, d in arcs), "crossing arcs"


def test_tags_are_those_a_reader_expects() -> None:
    tags: dict[str, set[str]] = {}
    for sentence in rows(treebank.conllu(1500, seed=0, name="train")):
        for row in sentence:
            tags.setdefault(row[1].lower(), set()).add(row[3])
            assert row[7] != "punct"
    for names, upos in ((MOTION_WORDS, "VERB"), (COLOUR_WORDS, "ADJ"), (SHAPE_WORDS, "NOUN")):
        for group in names.values():
            assert all(tags[word] == {upos} for word in group), group
    assert tags["is"] == {"AUX"}
    assert tags["shapetube"] == {"PROPN"}
    assert {word for word, upos in tags.items() if len(upos) > 1} == set()


def test_a_known_tree() -> None:
    subject = grammar.Node("ball", "NN", "nsubj", (grammar.Node("the", "DT", "det"),))
    root = grammar.Node("bouncing", "VBG", "root", (subject, grammar.Node("is", "AUX", "aux")))
    assert [(t.form, t.upos, t.xpos, t.head, t.deprel) for t in grammar.tokens(root)] == [
        ("the", "DET", "DT", 2, "det"),
        ("ball", "NOUN", "NN", 4, "nsubj"),
        ("is", "AUX", "VBZ", 4, "aux"),
        ("bouncing", "VERB", "VBG", 0, "root"),
    ]


def test_equal_siblings_keep_their_own_places() -> None:
    twin = grammar.Node("very", "RB", "advmod")
    root = grammar.Node("red", "JJ", "root", (twin, twin))
    assert [(t.form, t.head) for t in grammar.tokens(root)] == [("very", 3), ("very", 3), ("red", 0)]


def test_sentences_name_combinations_that_no_video_shows() -> None:
    paragraphs = [line.split("\t") for line in treebank.paragraphs(1500, seed=0).splitlines()]
    assert len(paragraphs) == 1500
    lines = [sentence for pair in paragraphs for sentence in pair]
    assert len(lines) == 3000
    told = {(*named(COLOUR_WORDS, line), *named(SHAPE_WORDS, line)) for line in lines}
    assert ("blue", "triangle") in told
    assert {word for line in lines for word in words_of(line)} >= set().union(
        *MOTION_WORDS.values(), *COLOUR_WORDS.values(), *SHAPE_WORDS.values()
    )


def test_sentences_of_a_paragraph_speak_of_the_same_thing() -> None:
    pairs = [line.lower().split("\t") for line in treebank.paragraphs(500, seed=0).splitlines()]
    assert sum(first == second for first, second in pairs) < 25
    for first, second in pairs:
        assert set(named(SHAPE_WORDS, first)) == set(named(SHAPE_WORDS, second)), (first, second)
        assert set(named(COLOUR_WORDS, first)) == set(named(COLOUR_WORDS, second)), (first, second)


def test_an_before_vowels() -> None:
    lines = treebank.paragraphs(1500, seed=0).lower()
    assert re.search(r"\ban (emerald|azure|amber)\b", lines)
    assert not re.search(r"\ba [aeio]|\ban [^aeiou]", lines)


def test_cleaning_keeps_english_titles_and_empties_foreign_ones() -> None:
    from cpd.text.clean import clean_title

    known = set(treebank.paragraphs(1500, seed=0).lower().split())
    for i, category in enumerate(classes.ALL):
        assert clean_title(titles.foreign_title(category, stream("foreign", i)).text) == ""
        for k in range(10):
            cleaned = clean_title(titles.title(category, stream("english", i, k)).text)
            assert cleaned
            strange = {word for word in cleaned.lower().split() if not word.isdigit()} - known
            assert not strange, "the treebank and the text must hold every word that is left of a title"

"""Sentences about moving shapes, as dependency trees: the source of titles, treebank and language-model text.

A sentence is one `Node` (its root); words and CoNLL-U rows both come from the same tree, so a title and its
annotation cannot disagree. Tags follow Universal Dependencies v2 with Penn tags beside them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cpd.sources.demo import vocabulary as words

UPOS = {
    "DT": "DET", "JJ": "ADJ", "NN": "NOUN", "NNS": "NOUN", "NNP": "PROPN", "VBZ": "VERB", "VBG": "VERB", "VB": "VERB",
    "IN": "ADP", "RB": "ADV", "WRB": "ADV", "TO": "PART", "CD": "NUM", "PRP$": "PRON", "PRP": "PRON", "WDT": "PRON",
    "CC": "CCONJ", "AUX": "AUX",
}  # fmt: skip


@dataclass(frozen=True)
class Node:
    """A word with its dependents before and after it; `tag` is the Penn tag (`AUX`: a VBZ that is an auxiliary)."""

    word: str
    tag: str
    rel: str
    before: tuple[Node, ...] = ()
    after: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Token:
    """One row of CoNLL-U; `head` is 1-based, 0 for the root."""

    form: str
    upos: str
    xpos: str
    head: int
    deprel: str


@dataclass(frozen=True)
class Slots:
    """What a sentence speaks of; "" leaves the word out. `shape` is always told."""

    motion: str
    colour: str
    shape: str


def sentence(slots: Slots, rng: random.Random) -> Node:
    """A random sentence about a shape. Without a motion it is a noun phrase with a place."""
    if not slots.motion:
        return replace(_noun_phrase(slots, rng, "root"), after=(_where(rng, "nmod"),))
    return rng.choice(_TEMPLATES)(slots, rng)


def irrelevant(rng: random.Random) -> Node:
    """A title that has nothing to do with the video: `my holiday vlog 3`, `unboxing my new phone`."""
    if rng.random() < 0.5:
        return rng.choice(_ACTIVITIES)
    kind, event = rng.choice(words.VLOGS)
    count = Node(str(rng.randint(2, 40)), "CD", "nummod")
    return Node(event, "NN", "root", (_MY, Node(kind, "NN", "compound")), (count,))


def tokens(root: Node) -> list[Token]:
    """Rows of the tree in reading order."""
    order = list(_in_order(root))
    position = {path: place for place, (_, path) in enumerate(order, start=1)}
    return [_token(node, position.get(path[:-1], 0)) for node, path in order]


def text(root: Node) -> str:
    """The sentence in words, lower case but for names."""
    return " ".join(token.form for token in tokens(root))


def _token(node: Node, head: int) -> Token:
    return Token(node.word, UPOS[node.tag], "VBZ" if node.tag == "AUX" else node.tag, head, node.rel)


def _in_order(node: Node, path: tuple[int, ...] = (0,)) -> Iterator[tuple[Node, tuple[int, ...]]]:
    """Nodes in reading order, each with its path from the root (its parent's path and its place among siblings)."""
    for place, child in enumerate(node.before, start=-len(node.before)):
        yield from _in_order(child, (*path, place))
    yield node, path
    for place, child in enumerate(node.after):
        yield from _in_order(child, (*path, place))


def _noun_phrase(slots: Slots, rng: random.Random, rel: str, extra: tuple[Node, ...] = ()) -> Node:
    """`a tiny red ball`."""
    modifiers = [*extra]
    if rng.random() < 0.2:
        modifiers.append(Node(rng.choice(words.SIZES), "JJ", "amod"))
    if slots.colour:
        modifiers.append(Node(rng.choice(words.COLOURS[slots.colour]), "JJ", "amod"))
    noun = rng.choice(words.SHAPES[slots.shape])
    article = rng.choice(("a", "the", "this", "", ""))
    if article == "a" and (modifiers[0].word if modifiers else noun)[0] in "aeiou":
        article = "an"
    determiner = [Node(article, "DT", "det")] if article else []
    return Node(noun, "NN", rel, (*determiner, *modifiers))


def _where(rng: random.Random, rel: str) -> Node:
    """`in the garden`."""
    preposition, place = rng.choice(words.PLACES)
    return Node(place, "NN", rel, (Node(preposition, "IN", "case"), rng.choice((_THE, _OUR))))


def _when(rng: random.Random) -> Node:
    """`at night`, `in 2019`."""
    preposition, time = rng.choice(words.TIMES)
    tag = "CD" if time.isdigit() else "NNP" if time[0].isupper() else "NN"
    return Node(time, tag, "obl", (Node(preposition, "IN", "case"),))


def _verb(slots: Slots, rng: random.Random, tag: str, rel: str, before: tuple[Node, ...] = ()) -> Node:
    """The motion with an adverb, a place and a time, each now and then."""
    verb = rng.choice(words.VERBS[slots.motion])
    form = {"VBZ": verb.finite, "VBG": verb.gerund, "VB": verb.base}[tag]
    after = [Node(verb.adverb, "RB", "advmod")] if verb.adverb else []
    if rng.random() < 0.25:
        after.append(Node(rng.choice(words.MANNERS), "RB", "advmod"))
    if rng.random() < 0.45:
        after.append(_where(rng, "obl"))
    if rng.random() < 0.15:
        after.append(_when(rng))
    return Node(form, tag, rel, before, tuple(after))


def _moves(slots: Slots, rng: random.Random) -> Node:
    """`the red ball bounces in the park`."""
    return _verb(slots, rng, "VBZ", "root", (_noun_phrase(slots, rng, "nsubj"),))


def _is_moving(slots: Slots, rng: random.Random) -> Node:
    """`the red ball is bouncing`."""
    return _verb(slots, rng, "VBG", "root", (_noun_phrase(slots, rng, "nsubj"), Node("is", "AUX", "aux")))


def _thing_moving(slots: Slots, rng: random.Random) -> Node:
    """`red ball bouncing in the park`."""
    return replace(_noun_phrase(slots, rng, "root"), after=(_verb(slots, rng, "VBG", "acl"),))


def _moving_thing(slots: Slots, rng: random.Random) -> Node:
    """`bouncing red ball`, as the label."""
    verb = rng.choice([verb for verb in words.VERBS[slots.motion] if not verb.adverb])
    phrase = _noun_phrase(slots, rng, "root", (Node(verb.gerund, "VBG", "amod"),))
    return replace(phrase, after=(_where(rng, "nmod"),)) if rng.random() < 0.4 else phrase


def _thing_that_moves(slots: Slots, rng: random.Random) -> Node:
    """`a red ball that bounces`."""
    clause = _verb(slots, rng, "VBZ", "acl:relcl", (Node("that", "WDT", "nsubj"),))
    return replace(_noun_phrase(slots, rng, "root"), after=(clause,))


def _how_it_moves(slots: Slots, rng: random.Random) -> Node:
    """`how the red ball bounces`."""
    return _verb(slots, rng, "VBZ", "root", (Node("how", "WRB", "advmod"), _noun_phrase(slots, rng, "nsubj")))


def _watch_it_move(slots: Slots, rng: random.Random) -> Node:
    """`watch the red ball bounce`."""
    after = (_noun_phrase(slots, rng, "obj"), _verb(slots, rng, rng.choice(("VB", "VBG")), "xcomp"))
    return Node("watch", "VB", "root", after=after)


def _never_stops(slots: Slots, rng: random.Random) -> Node:
    """`the red ball never stops bouncing`."""
    before = (_noun_phrase(slots, rng, "nsubj"), Node("never", "RB", "advmod"))
    return Node("stops", "VBZ", "root", before, (_verb(slots, rng, "VBG", "xcomp"),))


def _is_red_and_moves(slots: Slots, rng: random.Random) -> Node:
    """`the ball is red and it bounces`: the colour behind the noun."""
    if not slots.colour:
        return _moves(slots, rng)
    subject = _noun_phrase(replace(slots, colour=""), rng, "nsubj")
    clause = _verb(slots, rng, "VBZ", "conj", (Node("and", "CC", "cc"), Node("it", "PRP", "nsubj")))
    colour = rng.choice(words.COLOURS[slots.colour])
    return Node(colour, "JJ", "root", (subject, Node("is", "AUX", "cop")), (clause,))


_TEMPLATES = (
    _moves,
    _moves,
    _is_moving,
    _thing_moving,
    _thing_moving,
    _moving_thing,
    _thing_that_moves,
    _how_it_moves,
    _watch_it_move,
    _never_stops,
    _is_red_and_moves,
)


def _noun(word: str, rel: str, *before: Node, after: tuple[Node, ...] = ()) -> Node:
    return Node(word, "NN", rel, before, after)


def _activity(verb: str, *after: Node) -> Node:
    return Node(verb, "VBG", "root", after=after)


_MY, _OUR = Node("my", "PRP$", "nmod:poss"), Node("our", "PRP$", "nmod:poss")
_THE, _AN = Node("the", "DT", "det"), Node("an", "DT", "det")
_IN_TOWN = _noun("town", "nmod", Node("in", "IN", "case"))
_ACTIVITIES = (
    _activity("unboxing", _noun("phone", "obj", _MY, Node("new", "JJ", "amod"))),
    _activity("cooking", _noun("pasta", "obj"), _noun("grandma", "obl", Node("with", "IN", "case"))),
    _activity("reviewing", _noun("hotel", "obj", _THE, Node("cheap", "JJ", "amod"), after=(_IN_TOWN,))),
    _activity("visiting", _noun("museum", "obj", _AN, Node("old", "JJ", "amod"))),
    _activity("playing", _noun("guitar", "obj", _THE), _noun("brother", "obl", Node("for", "IN", "case"), _MY)),
)

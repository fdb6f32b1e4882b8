"""Titles as people write them: a sentence of the grammar, dressed in channels, tags, emoji and capitals.

The same dressing, without its signs, goes into the treebank and the language model's text: it is what is left of a
title once it is cleaned.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from cpd.sources.demo import grammar
from cpd.sources.demo import vocabulary as words
from cpd.sources.demo.classes import Category
from cpd.sources.demo.grammar import Node, Slots

SMALL_WORDS = ("DT", "IN", "CC")
STYLES = ("title", "title", "title", "title", "sentence", "sentence", "sentence", "lower", "lower", "caps")


@dataclass(frozen=True)
class Title:
    """A title and what it tells: `plain`, `no_motion`, `no_colour`, `irrelevant`, `foreign` or `duplicate`."""

    text: str
    kind: str


@dataclass(frozen=True)
class Extra:
    """What stands behind the sentence: as it is typed, and what cleaning leaves of it."""

    raw: str
    nodes: tuple[Node, ...]


def title(category: Category, rng: random.Random) -> Title:
    """A noisy English title of a video: 6 % irrelevant, 8 % without the motion, 8 % without the colour."""
    kind = rng.choices(("plain", "no_motion", "no_colour", "irrelevant"), weights=(78, 8, 8, 6))[0]
    root = grammar.irrelevant(rng) if kind == "irrelevant" else grammar.sentence(_slots(category, kind), rng)
    return Title(_dress(root, rng), kind)


def foreign_title(category: Category, rng: random.Random) -> Title:
    """A title wholly in another language: cleaning leaves nothing of it."""
    template, language = rng.choice(words.FOREIGN)
    lexicon = words.FOREIGN_WORDS[language]
    text = template.format(c=lexicon[category.colour], s=lexicon[category.shape], m=lexicon[category.motion])
    return Title(text[0].upper() + text[1:], "foreign")


def annotated(rng: random.Random) -> Node:
    """A clean title with its tree, of any words of the vocabulary (combinations that no video shows included)."""
    return _annotated(_any_slots(rng), rng)


def paragraph(rng: random.Random) -> tuple[Node, Node]:
    """Two clean sentences that speak of the same thing, in words and an order of their own."""
    slots = _any_slots(rng)
    return _annotated(slots, rng), _annotated(slots, rng)


def _any_slots(rng: random.Random) -> Slots | None:
    """Any motion, colour and shape (the first two may be left out); None, 1 time in 20: something else altogether."""
    slots = Slots(
        rng.choice((*words.VERBS, *words.VERBS, "")), rng.choice((*words.COLOURS, "")), rng.choice(tuple(words.SHAPES))
    )
    return None if rng.random() < 0.05 else slots


def _annotated(slots: Slots | None, rng: random.Random) -> Node:
    root = grammar.sentence(slots, rng) if slots else grammar.irrelevant(rng)
    extras = tuple(node for extra in _extras(rng) for node in extra.nodes)
    return _restyle(replace(root, after=root.after + extras), rng.choice(STYLES))


def _slots(category: Category, kind: str) -> Slots:
    return Slots(
        motion="" if kind == "no_motion" else category.motion,
        colour="" if kind == "no_colour" else category.colour,
        shape=category.shape,
    )


def _dress(root: Node, rng: random.Random) -> str:
    style = rng.choice(STYLES)
    text = _sprinkle(grammar.text(_restyle(root, style)), rng)
    extras = "".join(extra.raw for extra in _extras(rng))
    return text + (extras.upper() if style == "caps" else extras)


def _restyle(node: Node, style: str, *, first: bool = True) -> Node:
    """The tree with its capitals: `title`, `sentence`, `caps` or `lower`; `first`: it begins the sentence."""
    return replace(
        node,
        word=_capital(node, style, first=first and not node.before),
        before=tuple(_restyle(child, style, first=first and place == 0) for place, child in enumerate(node.before)),
        after=tuple(_restyle(child, style, first=False) for child in node.after),
    )


def _capital(node: Node, style: str, *, first: bool) -> str:
    if style == "caps":
        return node.word.upper()
    if (style == "sentence" and first) or (style == "title" and (first or node.tag not in SMALL_WORDS)):
        return node.word[0].upper() + node.word[1:]
    return node.word


def _sprinkle(text: str, rng: random.Random) -> str:
    """Emoji, foreign words, exclamation marks and entities, each in a small share of titles."""
    if rng.random() < 0.05:
        place = rng.randrange(text.count(" ") + 1)
        parts = text.split(" ")
        text = " ".join([*parts[:place], rng.choice(words.FOREIGN_EXTRAS), *parts[place:]])
    if rng.random() < 0.05:
        text = f"&quot;{text}&quot;"
    if rng.random() < 0.2:
        text += rng.choice(("!", "!!!", "...", "?", " :)", " ★"))
    if rng.random() < 0.18:
        emoji = rng.choice(words.EMOJI) * rng.choice((1, 1, 3))
        text = f"{text} {emoji}" if rng.random() < 0.7 else f"{emoji} {text}"
    return text


def _extras(rng: random.Random) -> list[Extra]:
    makers = ((0.05, _friends), (0.12, _episode), (0.1, _quality), (0.2, _channel), (0.12, _hashtags))
    return [make(rng) for share, make in makers if rng.random() < share]


def _friends(rng: random.Random) -> Extra:
    mark = rng.choice(("&amp;", "&", "and"))
    return Extra(f" {mark} friends", (Node("friends", "NNS", "conj", (Node("and", "CC", "cc"),)),))


def _episode(rng: random.Random) -> Extra:
    number = rng.randint(1, 99)
    count = Node(str(number), "CD", "nummod")
    word = rng.choice(("Ep", "Part", "Episode"))
    mark = "." if word == "Ep" else ""
    return Extra(f" - {word}{mark} {number}", (Node(word, "NN", "parataxis", after=(count,)),))


def _quality(rng: random.Random) -> Extra:
    word = rng.choice(("HD", "4K", "60fps"))
    return Extra(rng.choice((f" [{word}]", f" ({word})")), (Node(word, "NN", "parataxis"),))


def _channel(rng: random.Random) -> Extra:
    name = rng.choice(words.CHANNELS)
    return Extra(f" {rng.choice(('|', '-', '•'))} {name}", (Node(name, "NNP", "parataxis"),))


def _hashtags(rng: random.Random) -> Extra:
    tags = rng.sample(words.TAGS, rng.choice((1, 2)))
    return Extra("".join(f" #{tag}" for tag in tags), tuple(Node(tag, "NN", "parataxis") for tag in tags))

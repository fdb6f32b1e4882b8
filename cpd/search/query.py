"""What a person may type, and what of it the network reads."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from cpd.text.clean import clean_title

LONGEST = 300  # characters: a network reads 64 tokens


class QueryError(ValueError):
    """A query that is refused; the message is for the page."""


@dataclass(frozen=True)
class Query:
    """A sentence as it was typed, and as it is read."""

    typed: str
    read: str


def parse_query(text: str, *, title: str) -> Query | None:
    """The sentence in what was typed, or None where there is none.

    A network that learned from cleaned titles reads the sentence cleaned likewise, unless nothing would be left.

    Args:
        text: what came from the browser: any characters.
        title: the titles that the network learned from (`title` of the experiment).

    Raises:
        QueryError: too long, or with control characters.
    """
    typed = " ".join(text.split())
    if len(typed) > LONGEST:
        raise QueryError(f"The sentence has {len(typed)} characters; {LONGEST} are read at most.")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in typed):
        raise QueryError("The sentence has control characters.")
    if not typed:
        return None
    return Query(typed, (clean_title(typed) if title != "title" else "") or typed)

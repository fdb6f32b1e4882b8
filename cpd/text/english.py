"""Is a title English? Evidence from word frequencies, title by title.

A test word by word would delete names and loan words and still keep half of the foreign words; a test on the
title keeps 99 % of English titles.
"""

from __future__ import annotations

import functools
import math

import regex
import wordfreq

OTHERS = ("fr", "de", "es", "pt", "it", "nl")
KNOWN_ZIPF = 2.5  # a title needs one word at least this frequent in English

# Letters glued to digits (E3, PS4) and single letters are words of no language.
_WORD = regex.compile(
    r"(?<![\p{Latin}\p{M}\p{Nd}])\p{Latin}[\p{Latin}\p{M}]++(?:'\p{Latin}[\p{Latin}\p{M}]*+)?+(?!\p{Nd})"
)


def is_english(text: str, *, margin: float) -> bool:
    """Whether the Latin words of `text` speak for English.

    The mean over words of zipf(en) - max zipf(other languages) must reach `margin`, and one word must be known in
    English. A word that no list knows counts 0: names are neutral.
    """
    evidence = [_evidence(word) for word in _WORD.findall(text.lower().replace("\u2019", "'"))]
    if not evidence:
        return False
    mean = sum(difference for difference, _ in evidence) / len(evidence)
    return mean >= margin and any(zipf >= KNOWN_ZIPF for _, zipf in evidence)


@functools.lru_cache(maxsize=1 << 18)
def _evidence(word: str) -> tuple[float, float]:
    """(zipf(en) - max zipf(others), zipf(en)) of a lower-case word; the possessive's host where only that is known."""
    english = _zipf(word, "en")
    if not english and word.endswith("'s"):
        return _evidence(word[:-2])
    return english - max(_zipf(word, language) for language in OTHERS), english


def _zipf(word: str, language: str) -> float:
    """log10 of the occurrences in 10^9 words, 0 when the list does not have the word."""
    frequency = wordfreq.get_frequency_dict(language).get(word, 0.0)
    return math.log10(frequency) + 9 if frequency else 0.0

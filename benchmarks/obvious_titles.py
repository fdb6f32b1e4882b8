"""title-clean as one would first write it: each library's own call, for every title, in the same order of steps."""

from __future__ import annotations

import html
import re
import unicodedata

import emoji
import ftfy
import wordfreq
from anyascii import anyascii

LANGUAGES = ("fr", "de", "es", "pt", "it", "nl")


def clean_title(title: str) -> str:
    """The title's English words, or "" where they are not English; close to ours, but not the same in every rule."""
    text = ftfy.fix_text(html.unescape(html.unescape(title)))
    text = unicodedata.normalize("NFKC", emoji.replace_emoji(text, " "))
    text = re.sub(r"(?:https?://|www\.)\S+", " ", text)
    text = "".join(anyascii(c) if "LATIN" in unicodedata.name(c, "") else c for c in text).replace("&", " and ")
    words = re.sub(r"[^A-Za-z0-9'.,:-]+", " ", text).split()
    known = [word.strip("'.,:-") for word in words]
    return " ".join(filter(None, known)) if _is_english([word for word in known if word.isalpha()]) else ""


def _is_english(words: list[str]) -> bool:
    if not words:
        return False
    english = [wordfreq.zipf_frequency(word, "en") for word in words]
    others = [max(wordfreq.zipf_frequency(word, language) for language in LANGUAGES) for word in words]
    mean = sum(e - o for e, o in zip(english, others, strict=True)) / len(words)
    return mean >= -0.5 and max(english) >= 2.5

"""title-clean: "delete special symbols and characters such as non-English words and emoji" (the paper's words).

In order: entities and mojibake are repaired; emoji, symbols, addresses and runs of non-Latin script go; accents
fold to ASCII; what is left is letters, digits, `'` and `-` inside a word and `.` `,` `:` inside a number. A camera's
file name, a title without a word and a title that is not English become "", with the reason.

Every step takes linear time, and only the first `max_chars` characters of a title are looked at.
"""

from __future__ import annotations

import html
import re
import unicodedata

import emoji
import ftfy
import msgspec
import regex
from anyascii import anyascii

from cpd.config import Text
from cpd.text.english import is_english

NO_TITLE = "no_title"
NO_WORDS = "no_words"
CAMERA_FILE = "camera_file"
NOT_ENGLISH = "not_english"


class Cleaned(msgspec.Struct, frozen=True):
    """A cleaned title.

    Attributes:
        text: printable ASCII words with one blank between them, or "".
        reason: why `text` is empty (`no_title`, `no_words`, `camera_file`, `not_english`), else "".
        cut: whether the title was longer than `max_chars`.
    """

    text: str
    reason: str = ""
    cut: bool = False


def clean_title(title: str) -> str:
    """The cleaned title, or "" when nothing is left (default settings)."""
    return clean(title, Text()).text


def clean(title: str, settings: Text) -> Cleaned:
    """Clean one title.

    Cleaning twice changes nothing: clean(clean(x).text) == clean(x).text.

    Args:
        title: as its author wrote it; any str, lone surrogates included.
        settings: `max_chars` and `english_margin` are used.
    """
    short = _cut(title, settings.max_chars)
    latin = _latin_text(short)
    text = _cut(_ascii_words(latin), settings.max_chars)
    reason = _why_empty(short, latin, text, margin=settings.english_margin)
    return Cleaned("" if reason else text, reason, cut=short != title)


def _why_empty(title: str, latin: str, text: str, *, margin: float) -> str:
    if not title.strip():
        return NO_TITLE
    if _CAMERA.fullmatch(text):
        return CAMERA_FILE
    # "&" alone becomes "and", which is no word of the title's author.
    if not _TWO_LETTERS.search(_ascii_words(latin.replace("&", " "))):
        return NO_WORDS
    if not is_english(latin, margin=margin):
        return NOT_ENGLISH
    # What is returned is judged too, so that cleaning it again gives the same answer.
    return "" if is_english(text, margin=margin) else NOT_ENGLISH


def _cut(text: str, limit: int) -> str:
    """At most `limit` characters, ending at a blank where there is one."""
    if len(text) <= limit:
        return text
    blank = text.rfind(" ", 0, limit + 1)
    return text[:blank].rstrip() if blank > 0 else text[:limit]


def _latin_text(title: str) -> str:
    """The title without entities, emoji, symbols, addresses and other scripts; accents and punctuation stay."""
    text = html.unescape(html.unescape(title))
    if not (text.isascii() and text.isprintable()):
        text = _without_other_scripts(_without_symbols(ftfy.fix_text(_SPACES.sub(" ", text))))
    return _ADDRESS.sub(" ", text)


def _without_symbols(text: str) -> str:
    """Emoji go before their joiners would, symbols before NFKC would spell them out (the trade mark sign as TM)."""
    text = _APOSTROPHE.sub("'", emoji.replace_emoji(text, " "))
    text = unicodedata.normalize("NFKC", _SYMBOL.sub(" ", text))
    return _APOSTROPHE.sub("'", text).replace("\u2010", "-")


def _without_other_scripts(text: str) -> str:
    """Invisible characters go first: they would interrupt a run."""
    return _OTHER_SCRIPT.sub(" ", _INVISIBLE.sub("", text))


def _ascii_words(latin: str) -> str:
    """ASCII letters and digits, inner `'` and `-`, and `.` `,` `:` between digits; all else is a blank."""
    return " ".join(_NOT_KEPT.sub(" ", _fold(latin).replace("&", " and ")).split())


def _fold(text: str) -> str:
    if text.isascii():
        return text
    return _MARK.sub("", _ACCENTED.sub(lambda match: anyascii(match[0]), text))


_SPACES = re.compile(r"[\s\x85]+")
_SYMBOL = regex.compile(r"[\p{So}\p{Sk}\p{No}\p{Cs}\p{Co}\p{Cn}]")
_APOSTROPHE = regex.compile(r"(?<=\p{L})[\u2018\u2019\u201b\u02b9\u02bb\u02bc\u2032\u00b4`](?=\p{L})")
_INVISIBLE = regex.compile(r"[\p{Cf}\p{Cc}\p{Variation_Selector}]")
# A run of other letters takes the digits glued to it along, unless a Latin letter holds them (AKB48).
_OTHER_SCRIPT = regex.compile(
    r"(?V1)(?:(?<![\p{Latin}\p{Nd}])\p{Nd}++)?+"
    r"[\p{L}--\p{Latin}][[\p{L}\p{M}]--\p{Latin}]*+(?:\p{Nd}++(?!\p{Latin})[[\p{L}\p{M}]--\p{Latin}]*+)*+"
)
_ACCENTED = regex.compile(r"(?V1)[\p{Latin}--\p{ASCII}]+")
_MARK = regex.compile(r"\p{M}+")
_NOT_KEPT = re.compile(
    r"(?:[^A-Za-z0-9'.,:-]|(?<![A-Za-z0-9])['-]|['-](?![A-Za-z0-9])|(?<![0-9])[.,:]|[.,:](?![0-9]))+"
)
_TWO_LETTERS = re.compile(r"[A-Za-z]{2}")
# Web addresses, and bare site names; a hyphen before a site name is prose (Icons-Style.com). Country domains count in
# lower case only: "Mr.De Niro" lacks a blank.
_ADDRESS = regex.compile(
    r"(?i:(?:https?|ftp)://|www\.)[!-~--[|<>\"()\[\]{}]]*+"
    r"|(?<![A-Za-z0-9]|[A-Za-z0-9]\.)(?:[A-Za-z0-9_+%-]{1,64}+@)?+(?:[A-Za-z0-9]++\.){1,8}"
    r"(?:(?i:com|net|org|edu|gov|info|biz|tv|io)(?:\.[a-z]{2})?|co\.[a-z]{2}|de|fr|nl|eu|ru|ca|ly|gg|fm"
    r"|(?<=youtu\.)be(?=/)|(?<=goo\.)gl(?=/)|(?<=fb\.)me(?=/)|(?<=t\.)co(?=/))"
    r"(?![A-Za-z0-9])(?:/[!-~--[|<>\"()\[\]{}]]*+)?+(?:'s\b)?+",
    regex.V1,
)
_CAMERA_NAME = "MVI|IMG|DSC[NF]?|GOPR|G[PHX]|MOV|VID|VIDEO|CIMG|PICT|SANY|HPIM|SDC|SAM|MAH|DJI|YDXJ|FILE|CLIP|PXL|P|M2U"
_MEDIA = "AVI|MOV|MP4|MPE?G|3GP|WMV|M2?TS|M4V|MKV|FLV|WEBM"
_CAMERA = re.compile(
    rf"(?:{_CAMERA_NAME})[ -]?[0-9]{{4}}[0-9 -]*(?: (?:{_MEDIA}))?|(?:[A-Z0-9]+[ -])?[0-9][0-9 -]{{2,}} (?:{_MEDIA})",
    re.IGNORECASE,
)

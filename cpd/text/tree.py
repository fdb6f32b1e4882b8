"""title-tree: of a title's dependency parse only verbs and nouns stay (paper; PAPER section 1, text variants).

stanza parses pretokenised titles, so one title is one sentence and no tokenizer model is needed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from cpd.errors import CpdError
from cpd.text.models import load_pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cpd.config import Text

_HYPHEN = re.compile(r"(-)")
_AFFIX = re.compile(r"n't|'\w+|\W+", re.IGNORECASE)  # whatever a tagger calls them
_PLAIN = re.compile(r"[A-Za-z0-9'.,:-]*[A-Za-z0-9][A-Za-z0-9'.,:-]*")
_CLITIC = re.compile(r"(.+?)(n't|'(?:s|re|ve|ll|d|m))", re.IGNORECASE)


class Tree(msgspec.Struct, frozen=True):
    """What title-tree keeps of a title.

    Attributes:
        text: verbs and nouns in order, as written or as lemmas; the whole title when `fallback`; "" when `error`.
        fallback: whether the parse held neither verb nor noun.
        error: why the parser failed on this title, or "".
    """

    text: str
    fallback: bool = False
    error: str = ""


class TreeParser:
    """stanza's tagger and dependency parser over many titles at a time.

    Args:
        settings: `pos_model` and `depparse_model`, or `stanza_dir`; `proper_nouns`; `lemmas`; `batch_size` (titles
            a call).

    Raises:
        CpdError: a model is missing or cannot be loaded; its path is named.
    """

    def __init__(self, settings: Text) -> None:
        self._pipeline = load_pipeline(settings)
        self._kept = {"NOUN", "VERB"} | ({"PROPN"} if settings.proper_nouns else set())
        self._lemmas = settings.lemmas
        self._batch_size = settings.batch_size

    def trees(self, titles: list[str]) -> list[str]:
        """The text of each title's tree, in order; see `Tree.text`."""
        return [tree.text for tree in self.parse(titles)]

    def parse(self, titles: list[str]) -> list[Tree]:
        """Parse many titles: one result a title, in order. A title that crashes the parser has `error` set.

        Raises:
            CpdError: every one of several titles failed, which speaks against the models.
        """
        from tqdm import tqdm

        worded = [title for title in titles if title.split()]
        parsed: list[Any] = []
        with tqdm(total=len(worded), desc="title-tree", unit="title", disable=None) as progress:
            for start in range(0, len(worded), self._batch_size):
                batch = worded[start : start + self._batch_size]
                parsed += self._sentences([list(tokens(title)) for title in batch])
                progress.update(len(batch))
        _refuse_total_failure(parsed)
        results = iter(parsed)
        return [self._tree(title, next(results)) if title.split() else Tree("") for title in titles]

    def _sentences(self, batch: list[list[str]]) -> list[Any]:
        """Parsed sentences in order; the message where a sentence, halved out of its batch, fails alone."""
        try:
            sentences = list(self._pipeline(batch).sentences)
        except Exception as error:
            if len(batch) == 1:
                return [f"{type(error).__name__}: {error}"]
            middle = len(batch) // 2
            return self._sentences(batch[:middle]) + self._sentences(batch[middle:])
        assert len(sentences) == len(batch), "pretokenised sentences keep their count"
        return sentences

    def _tree(self, title: str, parsed: Any) -> Tree:
        if isinstance(parsed, str):
            return Tree("", error=parsed)
        kept = [word for word in parsed.words if word.upos in self._kept and not _AFFIX.fullmatch(word.text)]
        if not kept:
            return Tree(title, fallback=True)
        return Tree(" ".join((self._lemmas and _lemma(word)) or word.text for word in kept))


def _lemma(word: Any) -> str:
    """The lemma where it is a word of the cleaner's alphabet: a lemmatizer that spells letter by letter may not."""
    lemma = word.lemma or ""
    return lemma if _PLAIN.fullmatch(lemma) else ""


def tokens(title: str) -> Iterator[str]:
    """Words as English treebanks cut them: `Henry 's`, `do n't`, `Ready - to - Wear`."""
    for word in title.split():
        for part in filter(None, _HYPHEN.split(word)):
            clitic = _CLITIC.fullmatch(part)
            yield from clitic.groups() if clitic else (part,)


def _refuse_total_failure(parsed: list[Any]) -> None:
    failures = [result for result in parsed if isinstance(result, str)]
    if len(parsed) > 1 and len(failures) == len(parsed):
        raise CpdError(f"the parser failed on all of {len(parsed)} titles: {failures[0]}", hint="check stanza's models")

"""title-tree: of a title's dependency parse only verbs and nouns stay (paper; PAPER section 1, text variants).

stanza parses pretokenised titles, so one title is one sentence and no tokenizer model is needed. Models are read
from the disk only; `download_models` is the one place that asks the network.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cpd.errors import CpdError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cpd.config import Text

_HYPHEN = re.compile(r"(-)")
_AFFIX = re.compile(r"n't|'\w+|\W+", re.IGNORECASE)  # whatever a tagger calls them
_CLITIC = re.compile(r"(.+?)(n't|'(?:s|re|ve|ll|d|m))", re.IGNORECASE)


class Tree(msgspec.Struct, frozen=True):
    """What title-tree keeps of a title.

    Attributes:
        text: verbs and nouns in order, as written; the whole title when `fallback`; "" when `error`.
        fallback: whether the parse held neither verb nor noun.
        error: why the parser failed on this title, or "".
    """

    text: str
    fallback: bool = False
    error: str = ""


class TreeParser:
    """stanza's tagger and dependency parser over many titles at a time.

    Args:
        settings: `pos_model` and `depparse_model`, or `stanza_dir`; `proper_nouns`; `batch_size` (titles a call).

    Raises:
        CpdError: a model is missing or cannot be loaded; its path is named.
    """

    def __init__(self, settings: Text) -> None:
        self._pipeline = load_pipeline(settings)
        self._kept = {"NOUN", "VERB"} | ({"PROPN"} if settings.proper_nouns else set())
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
        kept = [word.text for word in parsed.words if word.upos in self._kept and not _AFFIX.fullmatch(word.text)]
        return Tree(" ".join(kept)) if kept else Tree(title, fallback=True)


def tokens(title: str) -> Iterator[str]:
    """Words as English treebanks cut them: `Henry 's`, `do n't`, `Ready - to - Wear`."""
    for word in title.split():
        for part in filter(None, _HYPHEN.split(word)):
            clitic = _CLITIC.fullmatch(part)
            yield from clitic.groups() if clitic else (part,)


def load_pipeline(settings: Text) -> Any:
    """A `stanza.Pipeline` of tagger and parser, from own model files or stanza's English package; never downloads.

    Raises:
        CpdError: a file is missing or not a stanza model.
    """
    models = own_models(settings)
    missing = [path for path in models.values() if not path.is_file()]
    if missing:
        raise CpdError(f"{missing[0]}: no such stanza model", hint="mend text.pos_model and text.depparse_model")
    where = ", ".join(map(str, models.values())) or settings.stanza_dir
    try:
        return _own_pipeline(models) if models else _package_pipeline(settings.stanza_dir)
    except FileNotFoundError as error:
        raise CpdError(f"{where}: stanza's English models are missing: {error}", hint=_DOWNLOAD) from None
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise CpdError(
            f"{where}: stanza cannot load its models: {problem}", hint="delete and make them again"
        ) from None


_DOWNLOAD = "`cpd title-tree --download` fetches them once, on a machine with network"
_OPTIONS: dict[str, Any] = {
    "package": None,
    "download_method": None,
    "tokenize_pretokenized": True,
    "use_gpu": False,
    "logging_level": "ERROR",
}


def own_models(settings: Text) -> dict[str, Path]:
    """{"pos": ..., "depparse": ...} of the config, or {} where stanza's package is meant.

    Raises:
        CpdError: only one of the two is set.
    """
    if (settings.pos_model is None) != (settings.depparse_model is None):
        raise CpdError("text.pos_model and text.depparse_model come together", hint="set both, or neither")
    if settings.pos_model is None or settings.depparse_model is None:
        return {}
    return {"pos": Path(settings.pos_model), "depparse": Path(settings.depparse_model)}


def _own_pipeline(models: dict[str, Path]) -> Any:
    import stanza

    with tempfile.TemporaryDirectory() as folder:
        resources = Path(folder) / "resources.json"
        resources.write_text(json.dumps({"en": {"lang_name": "English"}}))
        return stanza.Pipeline(
            "en",
            dir=folder,
            processors={"tokenize": "own", "pos": "own", "lemma": "identity", "depparse": "own"},
            pos_model_path=str(models["pos"]),
            depparse_model_path=str(models["depparse"]),
            **_OPTIONS,
        )


def _package_pipeline(folder: str) -> Any:
    import stanza

    processors = {"tokenize": "default", "pos": "default", "lemma": "identity", "depparse": "default"}
    return stanza.Pipeline("en", dir=folder, processors=processors, **_OPTIONS)


def _refuse_total_failure(parsed: list[Any]) -> None:
    failures = [result for result in parsed if isinstance(result, str)]
    if len(parsed) > 1 and len(failures) == len(parsed):
        raise CpdError(f"the parser failed on all of {len(parsed)} titles: {failures[0]}", hint="check stanza's models")

"""stanza's models: which files they are, and the pipeline they make. Read from the disk only, never downloaded."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpd.errors import CpdError
from cpd.fileio import sha256_file

if TYPE_CHECKING:
    from cpd.config import Text

_DOWNLOAD = "`cpd title-tree --download` fetches them once, on a machine with network"
_OPTIONS: dict[str, Any] = {
    "package": None,
    "download_method": None,
    "tokenize_pretokenized": True,
    "use_gpu": False,
    "logging_level": "ERROR",
}


def load_pipeline(settings: Text) -> Any:
    """A `stanza.Pipeline` of tagger, parser and, with `lemmas`, lemmatizer.

    Raises:
        CpdError: a file is missing or not a stanza model.
    """
    models = checked_models(settings)
    where = ", ".join(map(str, models.values())) or settings.stanza_dir
    try:
        pipeline = _own_pipeline(models) if models else _package_pipeline(settings)
    except FileNotFoundError as error:
        raise CpdError(f"{where}: stanza's English models are missing: {error}", hint=_DOWNLOAD) from None
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise CpdError(
            f"{where}: stanza cannot load its models: {problem}", hint="delete and make them again"
        ) from None
    # Where the package names no lemmatizer, stanza says nothing and takes the words for lemmas.
    if settings.lemmas and pipeline.processors["lemma"].use_identity:
        raise CpdError(f"{where}: no lemmatizer among stanza's models, and text.lemmas is true", hint=_DOWNLOAD)
    return pipeline


def own_models(settings: Text) -> dict[str, Path]:
    """{"pos": ..., "depparse": ...} of the config, with "lemma" where it is used; {} where stanza's package is meant.

    Raises:
        CpdError: only one of the two is set, or lemmas are asked for without a model of them.
    """
    if (settings.pos_model is None) != (settings.depparse_model is None):
        raise CpdError("text.pos_model and text.depparse_model come together", hint="set both, or neither")
    if settings.pos_model is None or settings.depparse_model is None:
        return {}
    models = {"pos": Path(settings.pos_model), "depparse": Path(settings.depparse_model)}
    if not settings.lemmas:
        return models
    if settings.lemma_model is None:
        raise CpdError("text.lemmas needs text.lemma_model beside your own text.pos_model", hint="or lemmas: false")
    return {**models, "lemma": Path(settings.lemma_model)}


def checked_models(settings: Text) -> dict[str, Path]:
    """`own_models`, each of which is a file.

    Raises:
        CpdError: one is missing; its path is named.
    """
    models = own_models(settings)
    missing = [f"text.{name}_model: {path}" for name, path in models.items() if not path.is_file()]
    if missing:
        raise CpdError(f"{missing[0]}: no such stanza model", hint="mend the path, or make the model")
    return models


def parser_digest(settings: Text) -> str:
    """16 hex digits of what decides a tree: models, options and stanza's version.

    The package's models count by resources.json, which holds the digest of each.

    Raises:
        CpdError: a model is missing.
    """
    from importlib.metadata import version

    files = list(checked_models(settings).values()) or [Path(settings.stanza_dir) / "resources.json"]
    for path in files:
        if not path.is_file():
            raise CpdError(f"{path}: stanza's English models are missing", hint=_DOWNLOAD)
    parts = [settings.proper_nouns, settings.lemmas, version("stanza"), *map(sha256_file, files)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _own_pipeline(models: dict[str, Path]) -> Any:
    import stanza

    lemma = "own" if "lemma" in models else "identity"
    paths = {f"{name}_model_path": str(path) for name, path in models.items()}
    with tempfile.TemporaryDirectory() as folder:
        resources = Path(folder) / "resources.json"
        resources.write_text(json.dumps({"en": {"lang_name": "English"}}))
        processors = {"tokenize": "own", "pos": "own", "lemma": lemma, "depparse": "own"}
        return stanza.Pipeline("en", dir=folder, processors=processors, **paths, **_OPTIONS)


def _package_pipeline(settings: Text) -> Any:
    import stanza

    return stanza.Pipeline("en", dir=settings.stanza_dir, processors=package_processors(settings), **_OPTIONS)


def package_processors(settings: Text) -> dict[str, str]:
    """What of stanza's English package is loaded, and downloaded. The parser asks for lemmas; identity will do."""
    lemma = "default" if settings.lemmas else "identity"
    return {"tokenize": "default", "pos": "default", "lemma": lemma, "depparse": "default"}

"""The one place that fetches stanza's English models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.text.folders import whole_folder
from cpd.text.models import package_processors

if TYPE_CHECKING:
    from cpd.config import Text


def download_models(settings: Text) -> bool:
    """Fetch stanza's English tagger and parser, with what they depend on, into `stanza_dir`.

    With `lemmas` the lemmatizer too; a folder that lacks it is fetched anew.

    The folder appears only when everything is there, so that an interrupted download leaves nothing behind.

    Returns:
        False when the models are there already.

    Raises:
        CpdError: the download failed (exit code 75: try again).
    """
    folder = Path(settings.stanza_dir)
    if _is_there(folder, lemmas=settings.lemmas):
        return False
    import stanza

    try:
        with whole_folder(folder) as beside:
            stanza.download("en", model_dir=str(beside), package=None, processors=package_processors(settings))
    except CpdError:
        raise
    except Exception as error:
        message = f"{folder}: stanza's English models could not be fetched: {type(error).__name__}: {error}"
        hint = "check the network (raw.githubusercontent.com and huggingface.co), then run `cpd title-tree --download`"
        raise CpdError(message, hint=hint, exit_code=EX_TEMPFAIL) from None
    return True


def _is_there(folder: Path, *, lemmas: bool) -> bool:
    return (folder / "resources.json").is_file() and (not lemmas or any((folder / "en" / "lemma").glob("*.pt")))

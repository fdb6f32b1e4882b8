"""The one place that fetches stanza's English models."""

from __future__ import annotations

from pathlib import Path

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.text.folders import whole_folder

PROCESSORS = {"tokenize": "default", "pos": "default", "lemma": "identity", "depparse": "default"}


def download_models(folder: str | Path) -> bool:
    """Fetch stanza's English tagger and parser, with what they depend on, into `folder`.

    The folder appears only when everything is there, so that an interrupted download leaves nothing behind.

    Returns:
        False when the models are there already.

    Raises:
        CpdError: the download failed (exit code 75: try again).
    """
    if (Path(folder) / "resources.json").is_file():
        return False
    import stanza

    try:
        with whole_folder(folder) as beside:
            stanza.download("en", model_dir=str(beside), package=None, processors=dict(PROCESSORS))
    except CpdError:
        raise
    except Exception as error:
        message = f"{folder}: stanza's English models could not be fetched: {type(error).__name__}: {error}"
        hint = "check the network (raw.githubusercontent.com and huggingface.co), then run `cpd title-tree --download`"
        raise CpdError(message, hint=hint, exit_code=EX_TEMPFAIL) from None
    return True

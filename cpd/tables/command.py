"""The command that makes a row: short enough for a footnote, and what a shell takes as it stands."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PLAIN = re.compile(r"[A-Za-z0-9._+@/-]+\Z")  # what a shell leaves alone, also between braces
BASE = "config.yaml"


def command(paths: Sequence[Path], configfiles: Sequence[str] = ()) -> str:
    """Snakemake's command for result files `.../eval/RUN/PROTOCOL/DATASET-SPLIT.json`; "" for none.

    Runs, protocols and splits are put between braces, which bash and zsh expand to the very paths: every run of a row
    has the same protocols and splits.

    Args:
        paths: of one row.
        configfiles: what the config was merged from.
    """
    if not paths:
        return ""
    overlays = [shlex.quote(name) for name in configfiles if name.rpartition("/")[2] != BASE]
    words = ["snakemake --cores all", _targets(paths), *(["--configfile", *overlays] if overlays else [])]
    return " ".join(words)


def _targets(paths: Sequence[Path]) -> str:
    if not all(PLAIN.match(str(path)) for path in paths):
        return " ".join(shlex.quote(str(path)) for path in paths)
    runs = list(dict.fromkeys(path.parent.parent for path in paths))
    splits: dict[str, list[str]] = {}
    for path in paths:
        dataset, _, split = path.stem.rpartition("-")
        splits.setdefault(f"{path.parent.name}/{dataset}", []).append(split)
    files = [f"{name}-{_braces(list(dict.fromkeys(found)))}" for name, found in splits.items()]
    return f"{runs[0].parent}/{_braces([run.name for run in runs])}/{_braces(files)}.json"


def _braces(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{{{','.join(texts)}}}"

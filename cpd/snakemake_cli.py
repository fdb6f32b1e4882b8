"""Snakemake's command line, with two differences: a target may stand behind `--configfile`, and memory is swept less.

Snakemake's `--configfile` takes every word that follows it. In `snakemake --configfile config.demo.yaml TARGET` the
target is thus read as one more config file, which fails with "Config file is not valid" before the workflow is opened.
The environment's `snakemake` begins here: words behind `--configfile` that are no YAML file are given back as targets.

Python looks for unreachable cycles whenever 700 more objects were made than freed. A plan of thousands of jobs makes
millions that all stay, so that an eighth of its time went into walking over them (docs/benchmarks.md, Planning).

All else is Snakemake's; `python -m snakemake` is Snakemake as it came.
"""

from __future__ import annotations

import gc
import sys

OPTIONS = ("--configfile", "--configfiles")
CONFIG_FILES = (".yaml", ".yml")
SWEEPS = (100_000, 50, 100)  # `gc.set_threshold`: young objects, then how many sweeps of them before older ones


def main() -> int | None:
    """Run Snakemake with the words of this command line."""
    gc.set_threshold(*SWEEPS)  # before the import, which makes many objects itself
    from snakemake.cli import main as snakemake

    code: int | None = snakemake(targets_first(sys.argv[1:]))
    return code


def targets_first(words: list[str]) -> list[str]:
    """The words with targets that stand behind `--configfile` moved to the front; its first word always is its own."""
    targets: list[str] = []
    kept: list[str] = []
    place = None  # behind --configfile: how many words it has had
    for number, word in enumerate(words):
        if word == "--":
            return [*targets, *kept, *words[number:]]
        if word.startswith("-"):
            place = 0 if word in OPTIONS else None
        elif place is not None:
            place += 1
            if place > 1 and not word.endswith(CONFIG_FILES):
                targets.append(word)
                continue
        kept.append(word)
    return [*targets, *kept]

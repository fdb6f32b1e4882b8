"""The demo's small models, trained in a few steps for whoever measures what they cost."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from benchmarks.harness import Options
from cpd.config import Demo
from cpd.fileio import write_text
from cpd.sources.demo import treebank

SENTENCES = {"train": 200, "dev": 20}


def stanza(options: Options) -> Path:
    """A folder with stanza's tagger and parser, trained on the demo's grammar."""
    from cpd.text import demo_stanza

    demo = Demo(folder=str(options.work / "demo"), stanza_steps=6 if options.quick else 30)
    for name, n in SENTENCES.items():
        write_text(Path(demo.folder) / "treebank" / f"{name}.conllu", treebank.conllu(n, seed=0, name=name))
    folder = options.work / "stanza"
    with open(os.devnull, "w") as silence, contextlib.redirect_stdout(silence):
        demo_stanza.train(demo, folder)
    logging.getLogger("stanza").setLevel(logging.WARNING)  # it would tell of every call
    return folder

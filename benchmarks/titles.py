"""title-clean and title-tree in CPU time of one core, beside the obvious way to write them.

Titles are those of the wild where `shared/titles` is there, else frequent English words with emoji, accents and other
scripts among them. The parser is the demo's, trained in a few steps: the time of a parse does not depend on what the
weights are.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import wordfreq

from benchmarks import demo_models, obvious_titles
from benchmarks.harness import Options, Way, gain, measure, row
from benchmarks.record import Findings, Target
from cpd.config import Text
from cpd.text.clean import clean_title

TITLE = "Titles: cleaning and parsing"
CLEAN, STEPWISE = "title-clean", "each library's own call, title by title"
BULK, SINGLE = "title-tree, many titles a call", "one title a call"
ODD = [
    "\U0001f389",
    "caf\u00e9",
    "&amp;",
    "|",
    "\u65b0\u66f2",
    "don\u2019t",
    "#win",
    "(HD)",
    "https://a.example/b",
    "El",
]


def made_up_titles(n: int) -> list[str]:
    """Titles of 3 to 12 words, one word in eight an odd one."""
    rng = random.Random(0)
    words = wordfreq.top_n_list("en", 5000)
    word = lambda: rng.choice(ODD) if rng.random() < 0.125 else rng.choice(words).title()  # noqa: E731
    return [" ".join(word() for _ in range(rng.randint(3, 12))) for _ in range(n)]


def read_titles(path: Path, n: int) -> list[str]:
    """The first `n` titles of a jsonl file."""
    with path.open() as lines:
        return [json.loads(line)["title"] for line, _ in zip(lines, range(n), strict=False)]


def run(options: Options) -> Findings:
    """Both stages."""
    n_clean, n_parse = (40, 8) if options.quick else (4000, 400)
    titles, kind = _titles(options, n_clean)
    cleaning = measure("title-clean", _cleaning(titles), rounds=options.rounds(5), unit="CPU us a title", scale=1e6,
                       work=len(titles))  # fmt: skip
    few = [text for text in map(clean_title, titles) if text][:n_parse]
    parsing = measure("title-tree", _parsing(few, options), rounds=options.rounds(3), unit="CPU us a title",
                      scale=1e6, work=len(few))  # fmt: skip
    rates = tuple(1e6 / value for value in row(cleaning, CLEAN).values)
    return Findings(
        title=TITLE,
        about=f"{len(titles)} titles {kind}, {len(few)} of them parsed",
        tables=(cleaning, parsing),
        targets=(
            Target(what=CLEAN, against="a core", values=rates, at_least=3000, suffix=" titles/s"),
            gain(parsing, what=BULK, against=SINGLE, ours=BULK, other=SINGLE, at_least=3),
        ),
    )


def _titles(options: Options, n: int) -> tuple[list[str], str]:
    """Titles, and where they are from."""
    found = [] if options.shared is None or options.quick else sorted((options.shared / "titles").glob("*.jsonl"))
    real = [title for path in found for title in _read(path)]
    return (random.Random(0).sample(real, n), "of the wild") if len(real) >= n else (made_up_titles(n), "made up")


def _read(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row["title"] for row in rows if isinstance(row.get("title"), str)]


def _cleaning(titles: Sequence[str]) -> list[Way]:
    return [
        Way(name=CLEAN, side="ours", run=lambda number: [clean_title(title) for title in titles]),
        Way(name=STEPWISE, side="obvious", run=lambda number: [obvious_titles.clean_title(title) for title in titles]),
    ]


def _parsing(titles: list[str], options: Options) -> list[Way]:
    """Many titles a call beside one title a call, with the same models."""
    from cpd.text.tree import TreeParser

    models = demo_models.stanza(options)
    parser = TreeParser(Text(pos_model=str(models / "pos.pt"), depparse_model=str(models / "depparse.pt")))
    return [
        Way(name=BULK, side="ours", run=lambda number: parser.parse(titles)),
        Way(name=SINGLE, side="obvious", run=lambda number: [parser.parse([title]) for title in titles]),
    ]

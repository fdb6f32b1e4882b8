"""Time title-clean and title-tree against the obvious way to write them; medians of interleaved rounds, one core.

python -m benchmarks.titles [--titles FILE.jsonl] [--models results/demo/stanza] [--clean 5000] [--parse 300]

Without --titles they are made up of frequent English words, emoji, accents and other scripts. Without a folder with
pos.pt and depparse.pt (`make demo` leaves one) title-tree is left out, and that is said.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import wordfreq

from benchmarks import obvious_titles
from cpd.config import Text
from cpd.text.clean import clean_title

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


def rates(jobs: dict[str, Callable[[], object]], *, n: int, rounds: int) -> dict[str, list[float]]:
    """Titles per CPU second of each job, a value a round; a first round, which fills caches, is not counted."""
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            if number:
                found[name].append(n / (time.process_time() - start))
    return found


def cleaning(titles: Sequence[str]) -> dict[str, Callable[[], object]]:
    """Ours beside the obvious one."""
    return {
        "title-clean (cpd)": lambda: [clean_title(title) for title in titles],
        "title-clean, step by step": lambda: [obvious_titles.clean_title(title) for title in titles],
    }


def parsing(titles: list[str], models: Path) -> dict[str, Callable[[], object]]:
    """Many titles a call beside one title a call, with the same models."""
    from cpd.text.tree import TreeParser

    parser = TreeParser(Text(pos_model=str(models / "pos.pt"), depparse_model=str(models / "depparse.pt")))
    return {
        "title-tree, in bulk (cpd)": lambda: parser.parse(titles),
        "title-tree, title by title": lambda: [parser.parse([title]) for title in titles],
    }


def show(found: dict[str, list[float]]) -> None:
    """Rows of the table; the ratio is to the last row, the obvious one."""
    last = statistics.median(list(found.values())[-1])
    for name, values in found.items():
        median = statistics.median(values)
        print(f"| {name} | {median:,.0f} | {min(values):,.0f} | {max(values):,.0f} | {median / last:.1f} |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--titles", type=Path, help='jsonl with a key "title"')
    parser.add_argument("--models", type=Path, default=Path("results/demo/stanza"), help="folder of stanza models")
    parser.add_argument("--clean", type=int, default=5000, help="titles to clean")
    parser.add_argument("--parse", type=int, default=300, help="titles to parse")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds")
    args = parser.parse_args()
    titles = read_titles(args.titles, args.clean) if args.titles else made_up_titles(args.clean)
    print(f"{len(titles)} titles to clean, {args.parse} to parse, {'from a file' if args.titles else 'made up'}")
    print("| step | titles per CPU second: median | min | max | ratio |\n|---|---:|---:|---:|---:|")
    show(rates(cleaning(titles), n=len(titles), rounds=args.rounds))
    if not (args.models / "pos.pt").is_file():
        print(f"(title-tree is left out: no pos.pt in {args.models}; `make demo` leaves one in results/demo/stanza)")
        return
    _use_one_thread()
    few = [text for text in map(clean_title, titles) if text][: args.parse]
    show(rates(parsing(few, args.models), n=len(few), rounds=args.rounds))


def _use_one_thread() -> None:
    import torch

    torch.set_num_threads(1)


if __name__ == "__main__":
    main()

"""The command line: `python -m cpd VERB`. Each verb lives in `cpd/commands/`."""

from __future__ import annotations

import argparse
import difflib
import errno
import importlib
import keyword
import os
import sys
from pathlib import Path
from types import ModuleType

from cpd import slurm
from cpd.errors import EX_REQUEUE, EX_TEMPFAIL, EX_USAGE, CpdError

VERBS = {
    "demo-corpus": "render the demo's videos, titles, lists and web site",
    "demo-stanza": "train the demo's small stanza tagger and parser",
    "demo-encoder": "train the demo's small DistilBERT on its titles",
    "plan": "hours, bytes and jobs that the config asks for",
    "chunks": "freeze which id belongs to which chunk",
    "given": "check the files that you put there yourself, and digest them",
    "crawl": "fetch titles and media of a chunk",
    "title-clean": "clean the titles of a chunk",
    "title-tree": "keep the verbs and nouns of a chunk's titles",
    "clips": "probe, cut and encode the clips of a chunk",
    "shard": "write a chunk's shard",
    "shards": "ls | verify: look into shards",
    "index": "gather the shards of a source into its index",
    "status": "what became of every id",
    "profile": "where the time of a training step goes",
    "pretrain": "train a video and a text tower on pairs (also: cpd train)",
    "import": "take over a published checkpoint as a run",
    "export": "a run as a folder to pass on, with a model card",
    "features": "extract frozen features of a dataset",
    "knn": "nearest-neighbour classification on frozen features",
    "linear": "linear probe on frozen features",
    "finetune": "fine-tune the video tower on a labelled set",
    "zeroshot": "classify by class names",
    "retrieval": "text-video retrieval on held-out pairs",
    "search": "a page on this machine: sentences find clips, clips find titles",
    "table": "one table beside the paper's numbers",
    "report": "one self-contained page about a run",
    "config": "show the merged config, or check it",
}

UNWRITABLE = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM)  # of a disk, not of our code
ALIASES = {"train": "pretrain"}


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0 if argv else EX_USAGE
    verb = ALIASES.get(argv[0], argv[0])
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, [*VERBS, *ALIASES], n=1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        print(f"error: no verb {verb!r}{meant}\n\n{_overview()}", file=sys.stderr)
        return EX_USAGE
    return _run(verb, argv[1:])


def _run(verb: str, argv: list[str]) -> int:
    name = verb.replace("-", "_")
    module = importlib.import_module(f"cpd.commands.{name}{'_' * keyword.iskeyword(name)}")
    parser = argparse.ArgumentParser(
        prog=f"cpd {verb}",
        description=VERBS[verb],
        epilog=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.configure(parser)
    args = parser.parse_args(argv)
    code = _exit_code(module, args)
    if code == EX_REQUEUE and "TORCHELASTIC_RUN_ID" not in os.environ and "CPD_NODES" not in os.environ:
        slurm.requeue()
    return code


def _exit_code(module: ModuleType, args: argparse.Namespace) -> int:
    try:
        return int(module.run(args) or 0)
    except CpdError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror}\nHint: make it writable and run again", file=sys.stderr)
        return EX_TEMPFAIL


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--configfile A [B ...]`, in Snakemake's order: later files overlay earlier ones."""
    parser.add_argument(
        "--configfile",
        nargs="+",
        type=Path,
        default=[Path(name) for name in os.environ.get("CPD_CONFIGFILES", "config.yaml").split(os.pathsep)],
        metavar="FILE",
        help="config file(s); later ones overlay earlier ones (default: $CPD_CONFIGFILES, or config.yaml)",
    )


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {what}" for verb, what in VERBS.items()]
    return "usage: cpd VERB [options]\n\n" + "\n".join(lines) + "\n\n`cpd VERB --help` shows its options and examples."

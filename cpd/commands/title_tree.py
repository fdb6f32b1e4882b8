"""Examples:
cpd title-tree --download --configfile config.yaml          (once, on a machine with network)
cpd title-tree --source kinetics --chunk train-0000 --configfile config.yaml
cpd title-tree --source kinetics --chunk train-0000 train-0001 --configfile config.yaml config.demo.yaml
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.config import load_config
from cpd.errors import CpdError

if TYPE_CHECKING:
    import argparse

    from cpd.config import Text


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_config_argument(parser)
    parser.add_argument("--source", help="name of the source in the config")
    parser.add_argument("--chunk", nargs="+", metavar="CHUNK", help="chunk(s), as train-0000; models are loaded once")
    parser.add_argument("--download", action="store_true", help="fetch stanza's English models into text.stanza_dir")


def run(args: argparse.Namespace) -> int:
    """Write `{results}/sources/{source}/tree/{chunk}.jsonl` of each chunk, or fetch the models."""
    from cpd.text.stages import chunk_path, summary, tree_chunk
    from cpd.text.tree import TreeParser

    config = load_config(*args.configfile)
    if args.download:
        return _download(config.text)
    if not args.source or not args.chunk:
        raise CpdError("title-tree needs --source and --chunk", hint="`cpd title-tree --help` shows examples")
    chunk_path(config, args.source, "clean", args.chunk[0])  # refuses an unknown source before models are loaded
    parser = TreeParser(config.text)
    for chunk in args.chunk:
        rows = tree_chunk(config, args.source, chunk, parser)
        fallbacks = sum(row["tree_fallback"] for row in rows)
        print(f"{summary(args.source, chunk, rows)}; {fallbacks} without verb or noun keep the clean title")
    return 0


def _download(settings: Text) -> int:
    from cpd.text.download import download_models
    from cpd.text.tree import own_models

    if own_models(settings):
        raise CpdError("text.pos_model is set: nothing to download", hint="unset it to use stanza's English package")
    fetched = download_models(settings.stanza_dir)
    print(f"{settings.stanza_dir}: {'fetched' if fetched else 'already there'}")
    return 0

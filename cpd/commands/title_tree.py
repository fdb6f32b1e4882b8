"""Examples:
cpd title-tree --download --configfile config.yaml          (once, on a machine with network)
cpd title-tree --source kinetics --chunk train-0000 --configfile config.yaml
cpd title-tree --source kinetics --chunk train-0000 train-0001 --configfile config.yaml config.demo.yaml

Chunks that are parsed already, from the same titles with the same models and options, are left as they are:
a run that was stopped goes on where it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.config import load_config
from cpd.errors import CpdError

if TYPE_CHECKING:
    import argparse

    from cpd.config import Config, Text


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_config_argument(parser)
    parser.add_argument("--source", help="name of the source in the config")
    parser.add_argument("--chunk", nargs="+", metavar="CHUNK", help="chunk(s), as train-0000; models are loaded once")
    parser.add_argument("--download", action="store_true", help="fetch stanza's English models into text.stanza_dir")


def run(args: argparse.Namespace) -> int:
    """Write `{results}/sources/{source}/tree/{chunk}.jsonl` of each chunk, or fetch the models."""
    config = load_config(*args.configfile)
    if args.download:
        return _download(config.text)
    if not args.source or not args.chunk:
        raise CpdError("title-tree needs --source and --chunk", hint="`cpd title-tree --help` shows examples")
    _parse(config, args.source, args.chunk)
    return 0


def _parse(config: Config, source: str, chunks: list[str]) -> None:
    from cpd.text.models import parser_digest
    from cpd.text.stages import chunk_path, parsed_chunk, summary, tree_chunk
    from cpd.text.tree import TreeParser

    chunk_path(config, source, "clean", chunks[0])  # refuses an unknown source before models are looked at
    digest = parser_digest(config.text)
    parser = None
    for chunk in chunks:
        rows = parsed_chunk(config, source, chunk, digest=digest)
        told = "already parsed"
        if rows is None:
            parser = parser or TreeParser(config.text)
            rows = tree_chunk(config, source, chunk, parser, digest=digest)
            fallbacks = sum(row["tree_fallback"] for row in rows)
            told = f"{fallbacks} without verb or noun keep the clean title"
        print(f"{summary(source, chunk, rows)}; {told}")


def _download(settings: Text) -> int:
    from cpd.text.download import download_models
    from cpd.text.models import own_models

    if own_models(settings):
        raise CpdError("text.pos_model is set: nothing to download", hint="unset it to use stanza's English package")
    fetched = download_models(settings)
    print(f"{settings.stanza_dir}: {'fetched' if fetched else 'already there'}")
    return 0

"""Examples:
  cpd search --run results/pretrain/cpd-r34
  cpd search --run results/demo/pretrain/cpd-r34 --source kinetics --split train --k 24
  cpd search --run cpd-r34 --port 0 --configfile config.yaml config.demo.yaml

A page on this machine: a sentence finds clips, a dropped clip finds titles, classes and clips like it. Needs the
run's features of the split (`cpd features`) and its shards. Ctrl-C ends it. See docs/search.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.config import load_config

if TYPE_CHECKING:
    import socket

    from cpd.search.gallery import Gallery

MOST = 200


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--run", required=True, help="a run folder, or the name of a run below the config's results")
    parser.add_argument("--source", help="source of the clips (default: that of the run's validation)")
    parser.add_argument("--split", help="their split (default: that of the run's validation)")
    parser.add_argument("--k", type=_count, default=12, help=f"clips of an answer, 1 to {MOST} (default: 12)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine)")
    parser.add_argument("--port", type=_port, default=8765, help="port to listen on, 0 for a free one (default: 8765)")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C, which is how it is meant to end."""
    try:
        _open_and_serve(args)
    except KeyboardInterrupt:  # the server raises it again once all is closed
        _say("\nended")
    return 0


def _open_and_serve(args: argparse.Namespace) -> None:
    config = load_config(*args.configfile)
    from cpd.search.place import find_run, find_split
    from cpd.search.serve import allowed_hosts, bind, make_server

    place = find_run(args.run, config)
    if place.results != Path(config.results):
        named = " ".join(map(str, args.configfile))
        _say(f"note: {named} is of {config.results}; --configfile names that of {place.results}, and its `clips`")
    listener = bind(args.host, args.port)  # before anything that takes time
    started = time.monotonic()
    import msgspec

    from cpd.models.checkpoint import load_embedder, read_config
    from cpd.search.app import build_app
    from cpd.search.gallery import open_gallery
    from cpd.search.network import Network
    from cpd.search.searcher import Searcher

    exp = read_config(place.folder).experiment
    source, split = find_split(place, exp, source=args.source, split=args.split, configfiles=args.configfile)
    _say(f"{place.features(source, split)}: opening it and the shards ...")
    gallery = open_gallery(place, source=source, split=split)
    _say(f"{len(gallery)} clips, {len(gallery.classes)} classes. {place.folder}: loading the network ...")
    embedder = load_embedder(place.folder)
    clips = msgspec.structs.replace(config.clips, short_side=gallery.short_side)
    with Network(embedder, views=gallery.views, clips=clips) as network:
        searcher = Searcher(gallery, network, k=args.k)
        searcher.warm_up()
        app = build_app(searcher, hosts=allowed_hosts(listener, args.host), seconds=clips.max_seconds)
        _announce(listener, args.host, gallery, seconds=time.monotonic() - started)
        make_server(app).run(sockets=[listener])


def _announce(listener: socket.socket, host: str, gallery: Gallery, *, seconds: float) -> None:
    from cpd.search.serve import address, is_loopback

    if not is_loopback(listener):
        what = f"{gallery.source}-{gallery.split}"
        _say(
            f"warning: whoever reaches this machine sees every clip, title and class of {what} without a password,"
            " and can send files that are decoded here",
            file=sys.stderr,
        )
    if not gallery.has_text:
        _say(f"note: {gallery.place.run} did not learn from titles: clips find clips, sentences find nothing")
    _say(f"ready after {seconds:.1f} s: {address(listener, host)}  (Ctrl-C ends it)")


def _say(text: str, **where: object) -> None:
    print(text, flush=True, **where)  # type: ignore[call-overload]


def _count(text: str) -> int:
    return _between(text, 1, MOST)


def _port(text: str) -> int:
    return _between(text, 0, 65535)


def _between(text: str, low: int, high: int) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
    return int(text)

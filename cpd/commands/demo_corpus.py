"""examples:
  cpd demo-corpus --configfile config.yaml config.demo.yaml
  cpd demo-corpus --configfile config.yaml config.demo.yaml --serve 8000    # and look at its web site

Run it again after a kill: what is rendered stays. Equal settings give equal bytes.
"""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

from cpd import cli, config
from cpd.errors import CpdError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    cli.add_config_argument(parser)
    parser.add_argument(
        "--serve", type=int, metavar="PORT", help="afterwards serve the web site on 127.0.0.1:PORT until interrupted"
    )


def run(args: argparse.Namespace) -> int:
    """Write the corpus of the config's `demo` section."""
    demo = config.load_config(*args.configfile).demo
    if demo is None:
        raise CpdError("the config has no `demo` section", hint="add config.demo.yaml to --configfile")
    from cpd.sources.demo import corpus

    summary = corpus.build(demo)
    for name, counts in summary["counts"].items():
        print(f"{name:12}", "  ".join(f"{key} {n}" for key, n in counts.items()))
    if args.serve is not None:
        _serve(Path(demo.folder) / "site", port=args.serve)
    return 0


def _serve(folder: Path, *, port: int) -> None:
    from cpd.sources.demo import site

    with site.serve(folder, port=port) as bound:
        print(f"serving {folder} on http://{site.HOST}:{bound}/watch/ID (interrupt to stop)", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")

"""A small corpus with two runs to search.

`cpd` sees its clips as an untrained network does. `told` has features that are embeddings of the titles, so that which
clip a sentence finds is known. One title of the validation clips is hostile.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
import torch
from msgspec.structs import replace

from cpd.config import Config, FeatureViews, experiment
from cpd.evaluate import features
from cpd.models.checkpoint import load_embedder, save_run
from cpd.models.two_tower import TwoTower
from cpd.search.app import build_app
from cpd.search.gallery import open_gallery
from cpd.search.network import Network
from cpd.search.place import find_run
from cpd.search.searcher import Searcher
from cpd.search.serve import LOOPBACK_NAMES, bind, make_server
from tests import small_corpus

HOSTILE = '"><script>document.title="owned"</script><img src=x onerror=alert(1)> {{ 7*7 }} \ud800 \u202e'
HOSTILE_LABEL = "<b>red</b>"


def write_search_corpus(folder: Path) -> Config:
    """Shards, runs and features; the second validation clip has a hostile title and class."""
    with pytest.MonkeyPatch.context() as patch:
        plain = small_corpus._row

        def row(results: Path, source: str, split: str, i: int, *, folds: bool) -> small_corpus.Row:
            made = plain(results, source, split, i, folds=folds)
            if (source, split, i) == ("pairs", "val", 1):
                made.meta.update(title=HOSTILE, label=HOSTILE_LABEL)
            return made

        patch.setattr(small_corpus, "_row", row)
        small_corpus.write_corpus(folder)
    config = small_corpus.open_corpus(folder)
    views = FeatureViews(clips=2, frames=4, stride=2, size=24)
    config = replace(config, evaluate=replace(config.evaluate, features=views))
    torch.manual_seed(0)
    for run in ("cpd", "random"):
        exp = experiment(config, run)
        network = TwoTower(exp, config.encoders[exp.encoder])
        save_run(Path(config.results) / "pretrain" / run, network, exp, config.encoders[exp.encoder])
    for run, source, split in (("cpd", "pairs", "val"), ("cpd", "acts", "all"), ("random", "pairs", "val")):
        features.extract(config, run, source=source, split=split)
    _write_told(config)
    return config


def _write_told(config: Config) -> None:
    results = Path(config.results)
    shutil.copytree(results / "pretrain" / "cpd", results / "pretrain" / "told")
    found = features.load(features.features_path(config, "cpd", source="pairs", split="val"))
    told = dataclasses.replace(found, emb_ND=found.text_ND.clone(), provenance=found.provenance | {"run": "told"})
    features.save(features.features_path(config, "told", source="pairs", split="val"), told)


@contextmanager
def open_searcher(
    config: Config, run: str, *, source: str = "pairs", split: str = "val", k: int = 4
) -> Iterator[Searcher]:
    place = find_run(run, config)
    gallery = open_gallery(place, source=source, split=split)
    with Network(load_embedder(place.folder), views=gallery.views, clips=config.clips) as network:
        yield Searcher(gallery, network, k=k)


@contextmanager
def served(searcher: Searcher) -> Iterator[str]:
    """The page on a free port of the loopback; yields its address."""
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server = make_server(build_app(searcher, hosts=LOOPBACK_NAMES))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()

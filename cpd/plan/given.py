"""Files that no rule makes and nothing downloads: lists, videos, word vectors, weights. Light: the Snakefile asks.

A missing one is told by the first job that needs it, with the place where it can be had and the key that names it, and
not by Snakemake's MissingInputException: so the plan of everything can be printed, and what does not need it is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cpd.config import experiment
from cpd.errors import CpdError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cpd.config import Config

SKIP_THOUGHTS = ("dictionary.txt", "utable.npy", "btable.npy", "uni_skip.npz", "bi_skip.npz")
WORD2VEC = "GoogleNews-vectors-negative300.bin, unpacked (code.google.com/archive/p/word2vec)"
SOURCES = {
    "kinetics": "the official csv (docs/data.md, Kinetics-400)",
    "titles": "lines of video_id<TAB>processed<TAB>original (docs/data.md, Ready titles)",
    "folder": "a csv with the columns file,title (docs/own-videos.md)",
    "lsmdc": "after signing the agreement of the LSMDC 2016 challenge (docs/data.md, LSMDC)",
    "instagram": "github.com/MCG-NJU/CPD-Video, datasets/ins_list; videos on request, with OmniSource (docs/data.md)",
    "ucf101": "UCF101 of the CRCV, University of Central Florida (docs/data.md, UCF101)",
    "hmdb51": "HMDB51 of the Serre lab, Brown University (docs/data.md, HMDB51)",
}


@dataclass(frozen=True, kw_only=True)
class Given:
    """A file or folder that a person puts there.

    Attributes:
        key: of the config that names it.
        path: where it is looked for.
        where: where it can be had.
    """

    key: str
    path: Path
    where: str

    @property
    def is_there(self) -> bool:
        """Whether there is something at the path."""
        return self.path.exists()


def of_source(config: Config, name: str) -> list[Given]:
    """Lists of a source, and its videos where they are not crawled; the demo makes its own."""
    if config.demo is not None:
        return []
    source = config.sources[name]
    where = SOURCES.get(source.kind, "docs/data.md")
    first = {path: split for split, path in reversed(source.lists.items())}  # one file may stand under several splits
    found = [
        Given(key=f"sources.{name}.lists.{split}", path=Path(path), where=where)
        for path, split in reversed(first.items())
    ]
    if source.videos is not None:
        found.append(Given(key=f"sources.{name}.videos", path=Path(source.videos), where=where))
    return found


def of_encoder(config: Config, name: str) -> list[Given]:
    """Files of an encoder; none for a hub name, and none for what the workflow makes."""
    encoder, key = config.encoders[name], f"encoders.{name}.path"
    path = Path(encoder.path)
    if encoder.kind == "word2vec":
        return [Given(key=key, path=path, where=WORD2VEC)]
    if encoder.kind == "skip_thoughts":
        where = "github.com/ryankiros/skip-thoughts names the addresses (docs/encoders.md)"
        found = [Given(key=key, path=path / file, where=where) for file in SKIP_THOUGHTS]
        vectors = encoder.vectors
        return found + ([Given(key=f"encoders.{name}.vectors", path=Path(vectors), where=WORD2VEC)] if vectors else [])
    if path.is_relative_to(config.results) or not path.is_dir():
        return []
    files = sorted(file for file in path.iterdir() if file.is_file())
    return [Given(key=key, path=file, where="a folder in transformers' format") for file in files]


def of_experiment(config: Config, name: str) -> list[Given]:
    """The weights that an experiment begins with, where they are a local file."""
    weights = experiment(config, name).backbone.weights
    if weights is None or "://" in weights:
        return []
    where = "a checkpoint that `cpd import` reads (docs/encoders.md, Published weights)"
    return [Given(key=f"experiments.{name}.backbone.weights", path=Path(weights), where=where)]


def of_key(config: Config, key: str) -> list[Given]:
    """What `encoders.NAME` or `experiments.NAME` needs.

    Raises:
        CpdError: the config has nothing of this name.
    """
    section, _, name = key.partition(".")
    if section == "encoders" and name in config.encoders:
        return of_encoder(config, name)
    if section == "experiments" and name in config.experiments:
        return of_experiment(config, name)
    raise CpdError(f"no {key!r} in the config", hint="write encoders.NAME or experiments.NAME")


def keys_of_run(config: Config, name: str) -> list[str]:
    """Keys whose files a training of experiment `name` reads."""
    keys = [f"encoders.{experiment(config, name).encoder}", f"experiments.{name}"]
    return [key for key in keys if of_key(config, key)]


def require(found: Iterable[Given]) -> None:
    """Check that all are there.

    Raises:
        CpdError: some are not; each is named with its key and where it can be had.
    """
    missing = [given for given in found if not given.is_there]
    if missing:
        lines = [f"  {given.path} ({given.key}): {given.where}" for given in missing]
        raise CpdError(
            "to be put there by hand, and missing:\n" + "\n".join(lines),
            hint=f"put them there, or set {', '.join(dict.fromkeys(given.key for given in missing))}",
        )

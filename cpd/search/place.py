"""Which run is meant, and which of its features: a wrong name is told the nearest right one."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cpd.config import evaluation
from cpd.errors import CpdError
from cpd.evaluate.features import features_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cpd.config import Config, Experiment


@dataclass(frozen=True)
class Place:
    """A run, and the config with the results that it stands in."""

    config: Config
    run: str

    @property
    def results(self) -> Path:
        """Where the run, its features and the shards stand."""
        return Path(self.config.results)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.results / "pretrain" / self.run

    @property
    def prompts(self) -> tuple[str, ...]:
        """What is embedded for a class name: as the config says for this run, or for any that it does not know."""
        name = self.run.partition("@")[0]
        known = name in self.config.experiments
        return (evaluation(self.config, name) if known else self.config.evaluate).zeroshot.prompts

    def features(self, source: str, split: str) -> Path:
        """The features of a split."""
        return features_path(self.config, self.run, source=source, split=split)


def find_run(run: str, config: Config) -> Place:
    """The run that `--run` means: a run folder, or the name of one under the config's results.

    Raises:
        CpdError: there is no such folder; the nearest name is given.
    """
    path = Path(run)
    if path.name == run and not (path / "config.json").is_file():
        return _existing(Place(config, run))
    folder = path if len(path.parts) > 1 else path.absolute()
    if folder.parent.name != "pretrain":
        raise CpdError(f"{run}: not a run folder", hint="its path ends in pretrain/EXPERIMENT, below the results")
    return _existing(Place(msgspec.structs.replace(config, results=str(folder.parent.parent)), folder.name))


def _existing(place: Place) -> Place:
    if (place.folder / "config.json").is_file():
        return place
    there = sorted(path.parent.name for path in place.folder.parent.glob("*/config.json"))
    raise CpdError(f"{place.folder}: no finished run", hint=_nearest(place.run, there))


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    if not names:
        return "run `cpd pretrain`, or name another folder of results"
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else f"finished runs: {', '.join(names)}"


def find_split(
    place: Place, exp: Experiment, *, source: str | None, split: str | None, configfiles: Sequence[Path] = ()
) -> tuple[str, str]:
    """The source and split to search: what is asked for, else held-out clips of training, else what is there.

    Args:
        place: the run.
        exp: its experiment; `validation` names the held-out clips.
        source: None for any.
        split: None for any.
        configfiles: named in the commands that the message proposes.

    Raises:
        CpdError: there are no such features; the commands that make them are given.
    """
    there = _splits(place)
    fitting = [pair for pair in there if source in (None, pair[0]) and split in (None, pair[1])]
    held_out = (exp.validation.source, exp.validation.split)
    if fitting:
        return held_out if held_out in fitting else fitting[0]
    wanted = (source or held_out[0], split or held_out[1])
    others = f"; it has those of {', '.join('-'.join(pair) for pair in there)}" if there else ""
    raise CpdError(
        f"{place.features(*wanted)}: run {place.run} has no such features{others}",
        hint=_commands(place, *wanted, configfiles=configfiles),
    )


def _splits(place: Place) -> list[tuple[str, str]]:
    """(source, split) of every features file of the run; no split has a dash in its name."""
    pattern = place.features("*", "*")
    names = sorted(path.stem for path in pattern.parent.glob(pattern.name))
    return [(source, split) for source, _, split in (name.rpartition("-") for name in names)]


def _commands(place: Place, source: str, split: str, *, configfiles: Sequence[Path]) -> str:
    overlays = [str(path) for path in configfiles if path.name != "config.yaml"]
    workflow = f" --configfile {' '.join(overlays)}" if overlays else ""
    command = f" --configfile {' '.join(map(str, configfiles))}" if overlays else ""
    return (
        f"snakemake --cores all {place.features(source, split)}{workflow}"
        f"\n  or: cpd features --run {place.run} --source {source} --split {split}{command}"
    )

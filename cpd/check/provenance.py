"""Where a result came from, held against what is there now: its place, settings, weights and features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cpd.config import experiment
from cpd.evaluate.result import config_digest, model_path, parse_run, result_path
from cpd.fileio import read_json, sha256_file

if TYPE_CHECKING:
    from cpd.config import Config
    from cpd.evaluate.result import Result


class Digests:
    """SHA-256 of files by path, each read once."""

    def __init__(self) -> None:
        self.known: dict[Path, str] = {}

    def __call__(self, path: Path) -> str:
        """The digest, or "" where there is no file."""
        if path not in self.known:
            self.known[path] = sha256_file(path) if path.is_file() else ""
        return self.known[path]


def problems_of_result(config: Config, path: Path, result: Result, digests: Digests) -> list[str]:
    """Whether a result is where it says it belongs, of the config's settings, and of the weights that are there."""
    model = model_path(config, result.run)
    own = result_path(config, result.run, protocol=result.protocol, dataset=result.dataset, split=result.split)
    name, seed = parse_run(result.run)
    found = []
    if own != path:
        found.append(f"says that it is {own}")
    if (result.experiment, result.seed) != (name, seed):
        found.append(f"is of {result.experiment} with seed {result.seed}, run {result.run}")
    if result.config_digest != config_digest(config, result.run, protocol=result.protocol, dataset=result.dataset):
        found.append("was measured with other settings than the config's")
    if not (result.code_digest and result.versions and result.inputs):
        found.append("has no provenance")
    if not digests(model):
        found.append(f"{model} is not there")
    elif result.inputs.get(str(model)) != digests(model):
        found.append(f"was not measured on {model} as it is now")
    return found


def problems_of_inputs(results: dict[Path, Result]) -> list[str]:
    """Files that several results read, and that were not the same for all of them."""
    seen: dict[tuple[str, str], tuple[str, Path]] = {}
    found = []
    for path, result in results.items():
        for name, digest in result.inputs.items():
            first, other = seen.setdefault((result.run, name), (digest, path))
            if digest != first:
                found.append(f"{path}: {name} was not the same as for {other}")
    return found


def problems_of_run(config: Config, run: str) -> list[str]:
    """Whether a run's config.json has the experiment that the config has."""
    path = model_path(config, run).with_name("config.json")
    if not path.is_file():
        return [f"{path} is not there"]
    written: Any = read_json(path).get("experiment")
    wanted = msgspec.to_builtins(experiment(config, parse_run(run)[0]))
    if not isinstance(written, dict):
        return [f"{path} has no experiment"]
    other = sorted(key for key in wanted.keys() & written.keys() if _plain(wanted[key]) != _plain(written[key]))
    return [f"{path}: trained with another {', '.join(other)}"] if other else []


def _plain(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")

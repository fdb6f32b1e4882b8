"""One result file: what a protocol measured on one split, and everything that it came from."""

from __future__ import annotations

import hashlib
import math
import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cpd.config import Config, Evaluate, evaluation, experiment, to_json
from cpd.digest import code_digest
from cpd.errors import CpdError
from cpd.fileio import read_json, sha256_file, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PACKAGES = ("torch", "torchvision", "transformers", "numpy", "av", "opencv-python-headless")


class Result(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in `R/eval/{run}/{protocol}/{dataset}-{split}.json`.

    Attributes:
        protocol: knn, linear, finetune, zeroshot, retrieval, or one that was added (docs/extending.md).
        run: `EXPERIMENT`, or `EXPERIMENT@SEED` for seeds other than 0.
        experiment: name of the experiment.
        seed: seed of the run.
        dataset: name of the dataset in the config.
        split: fold number, fraction, or "test".
        values: numbers under short paths, percent unless they are ranks or counts.
        n: number of test items.
        views: test views, {clips, crops, frames, stride, size}.
        config_digest: of every setting that the numbers depend on.
        code_digest: of the protocol's code.
        versions: of Python and of the packages that compute.
        world_size: number of processes.
        wall_seconds: how long it took.
        inputs: SHA-256 of every file read, by path.
    """

    protocol: str
    run: str
    experiment: str
    seed: int
    dataset: str
    split: str
    values: dict[str, Any]
    n: int
    views: dict[str, int]
    config_digest: str
    code_digest: str
    versions: dict[str, str]
    world_size: int
    wall_seconds: float
    inputs: dict[str, str]


def run_name(name: str, seed: int) -> str:
    """`NAME` for seed 0, `NAME@SEED` otherwise."""
    return name if seed == 0 else f"{name}@{seed}"


def parse_run(run: str) -> tuple[str, int]:
    """Experiment and seed of a run.

    Raises:
        CpdError: what follows the `@` is no number.
    """
    name, _, seed = run.partition("@")
    if seed and not seed.isdecimal():
        raise CpdError(f"run {run!r}: {seed!r} is not a seed", hint="write EXPERIMENT or EXPERIMENT@NUMBER")
    return name, int(seed or 0)


def result_path(config: Config, run: str, *, protocol: str, dataset: str, split: str) -> Path:
    """Where a result stands."""
    return Path(config.results) / "eval" / run / protocol / f"{dataset}-{split}.json"


def model_path(config: Config, run: str) -> Path:
    """The weights of a run, which every result names among its inputs."""
    return Path(config.results) / "pretrain" / run / "model.safetensors"


def settings_of(config: Config, run: str) -> Evaluate:
    """The protocols' settings for a run's experiment."""
    return evaluation(config, parse_run(run)[0])


def reads_features(protocol: str) -> bool:
    """Whether a protocol reads the features of `cpd features`, seen in `evaluate.features`: all but fine-tuning."""
    return protocol != "finetune"


def config_digest(config: Config, run: str, *, protocol: str, dataset: str) -> str:
    """Digest of every setting that a result depends on: experiment, data set, protocol (None: it has none), views."""
    name, seed = parse_run(run)
    protocols = settings_of(config, run)
    settings = [experiment(config, name), seed, config.datasets[dataset], getattr(protocols, protocol, None)]
    views = [protocols.features] if reads_features(protocol) else []
    return hashlib.sha256(to_json(settings + views).encode()).hexdigest()


def make_result(
    config: Config,
    run: str,
    *,
    protocol: str,
    dataset: str,
    split: str,
    values: Mapping[str, Any],
    n: int,
    inputs: Mapping[str, str],
    wall_seconds: float,
    code: Iterable[str] = (),
    world_size: int = 1,
) -> Result:
    """A Result with everything filled in that follows from config and code.

    Args:
        config: the merged config.
        run: which run was measured.
        protocol: which protocol measured it.
        dataset: on which dataset.
        split: and which split of it.
        values: what was measured.
        n: number of test items.
        inputs: SHA-256 of every file read, by path; the run's model.safetensors is one of them.
        wall_seconds: how long it took.
        code: modules whose digest is recorded; by default the protocol's.
        world_size: number of processes.
    """
    name, seed = parse_run(run)
    protocols = settings_of(config, run)
    views = protocols.features if reads_features(protocol) else protocols.finetune.test
    return Result(
        protocol=protocol,
        run=run,
        experiment=name,
        seed=seed,
        dataset=dataset,
        split=split,
        values=dict(values),
        n=n,
        views=msgspec.to_builtins(views),
        config_digest=config_digest(config, run, protocol=protocol, dataset=dataset),
        code_digest=code_digest(*(tuple(code) or (f"cpd.evaluate.{protocol}",))),
        versions=versions(),
        world_size=world_size,
        wall_seconds=round(wall_seconds, 3),
        inputs=dict(inputs),
    )


def write_result(path: str | Path, result: Result) -> None:
    """Write a result as JSON, whole or not at all.

    Raises:
        CpdError: a value is not a finite number (its path is named).
    """
    for key, value in leaves(result.values).items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise CpdError(f"{path}: {key} is {value!r}, not a finite number", hint="look for NaN in the features")
    write_json(path, msgspec.to_builtins(result))


def read_result(path: str | Path) -> Result:
    """Read a result.

    Raises:
        CpdError: the file is missing, not JSON, or lacks a key.
    """
    try:
        return msgspec.convert(read_json(path), Result)
    except msgspec.ValidationError as error:
        raise CpdError(f"{path}: {error}", hint="delete it and run its protocol again") from None


def leaves(values: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Flatten nested values: {"emb": {"top1": 50.0}} -> {"emb.top1": 50.0}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= leaves(value, prefix=f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def hash_inputs(*paths: str | Path) -> dict[str, str]:
    """SHA-256 of files by path, as a result's `inputs`.

    Raises:
        CpdError: a file is missing.
    """
    for path in paths:
        if not Path(path).is_file():
            raise CpdError(f"{path}: no such file", hint="run the rule that makes it, or mend the path")
    return {str(path): sha256_file(path) for path in paths}


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that compute, where they are installed."""
    found = {dist.metadata["Name"].lower(): dist.version for dist in metadata.distributions()}
    return {"python": platform.python_version()} | {name: found[name] for name in PACKAGES if name in found}

"""Cluster tests run by name (`-m cluster`), one after another, on a Slurm of their own; without Slurm they say so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.slurm_run import TABLE, Cluster, clone, cluster, finish, missing_commands, start


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Minutes of a workflow on a cluster are asked for by name, never run along."""
    here = [item for item in items if item.get_closest_marker("cluster")]
    if "cluster" not in config.option.markexpr:
        config.hook.pytest_deselected(items=here)
        items[:] = [item for item in items if item not in here]
    missing = missing_commands()
    for item in here if missing else []:
        item.add_marker(pytest.mark.skip(reason=f"no Slurm here: {', '.join(missing)} not found"))


@pytest.fixture(scope="session")
def two_nodes() -> Iterator[Cluster]:
    """Two nodes, each with two stand-ins for GPUs."""
    with cluster() as running:
        yield running


@pytest.fixture
def slurm(two_nodes: Cluster) -> Iterator[Cluster]:
    """The same for every test, without what the one before may have left."""
    yield two_nodes
    two_nodes.clear()


@pytest.fixture(scope="session")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small demo, finished on this machine with nothing in the way."""
    folder = clone(tmp_path_factory.mktemp("quiet") / "cpd")
    finish(start(folder, "--", TABLE), folder)
    return folder


@pytest.fixture
def ready(tmp_path: Path, quiet: Path) -> Path:
    """A clone that has everything but the trained run and what follows from it."""
    folder = clone(tmp_path / "cpd")
    for part in ("data", "results", ".snakemake"):
        shutil.copytree(quiet / part, folder / part, symlinks=True)
    for made in ("pretrain/cpd-r34", "features/cpd-r34", "eval/cpd-r34", "tables"):
        shutil.rmtree(folder / "results" / "small" / made)
    return folder

"""A training on two nodes, each with an address of its own where that can be had, and one of them dies."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cpd.fileio import read_json
from tests.cluster.slurm_run import (
    RUN,
    SMALL,
    TABLE,
    Cluster,
    change_profile,
    checkpoints,
    cluster,
    finish,
    freeze,
    start,
    table,
    until,
)

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]
TWO = "experiments: {cpd-r34: {gpus: 2}}\ncluster: {gpus_per_node: %d}\n"


def namespaces_work() -> bool:
    """Whether nodes can have addresses of their own: only that finds ranks that meet at 127.0.0.1."""
    if os.getuid() or not shutil.which("ip") or not shutil.which("nsenter"):
        return False
    name = f"cpd-test-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "del", name], check=True)
    return made


@pytest.fixture(scope="module")
def two_addresses() -> Iterator[Cluster]:
    with cluster(netns=namespaces_work(), gpus=1) as running:
        yield running


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / RUN / "model.safetensors").read_bytes()).hexdigest()


def test_two_nodes_one_dies_and_the_result_is_that_of_two_local_ranks(
    two_addresses: Cluster, ready: Path, tmp_path: Path
) -> None:
    local = tmp_path / "local"
    shutil.copytree(ready, local, symlinks=True)
    (local / "two.yaml").write_text(TWO % 8)
    (ready / "two.yaml").write_text(TWO % 1)
    files = (*SMALL, "two.yaml")
    finish(start(local, "--", TABLE, files=files), local)

    disk = tmp_path / "disk"
    change_profile(ready, '# scratch: "$TMPDIR"', f'scratch: "{disk}/$SLURMD_NODENAME"')
    snakemake = start(ready, "--", TABLE, on=two_addresses, files=files)
    until(lambda: len(checkpoints(ready)) >= 2, what="two checkpoints", process=snakemake)
    frozen = freeze(ready)
    (job,) = [job for job in two_addresses.jobs("pretrain") if two_addresses.job(job)["Comment"].endswith("cpd-r34")]
    assert two_addresses.job(job)["NodeList"] == "n[1-2]"
    assert two_addresses.job(job)["NumTasks"] == "2"
    places = {Path(f"/proc/{pid}/environ").read_bytes().split(b"SLURMD_NODENAME=")[1][:2] for pid in frozen}
    assert places == {b"n1", b"n2"}

    two_addresses.tool("node-dies", "n2")
    until(lambda: two_addresses.job(job)["JobState"] == "PENDING", what="requeued", process=snakemake)
    two_addresses.tool("node-returns", "n2")
    finish(snakemake, ready)
    assert two_addresses.job(job)["Restarts"] == "1"
    assert read_json(ready / RUN / "metrics.json")["world_size"] == 2
    assert weights(ready) == weights(local)
    assert table(ready) == table(local)
    copies = {path.parent.parent.name: path.name for path in disk.glob("n?/cpd-shards/*.tar")}
    assert set(copies) == {"n1", "n2"}

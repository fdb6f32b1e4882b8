"""`--gpus N`: the same command again, as N processes (torchrun), on one node or several. Imports no torch.

    one node:       command -> torchrun -> N ranks
    several nodes:  command -> srun -> the command once a node -> torchrun -> N / nodes ranks there

Ranks meet at the first node of the allocation, at a port that follows from the job's id.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from cpd import slurm
from cpd.engine.signals import StopRequest, watching
from cpd.errors import EX_REQUEUE, CpdError

NODES = "CPD_NODES"  # set for the command that runs once a node: how many nodes there are
FIRST_PORT, PORTS = 20000, 10000  # below the ports that Linux gives to outgoing connections
SAVING = 600  # seconds that ranks get for their checkpoint
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def add_gpus_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--gpus N`."""
    parser.add_argument(
        "--gpus", type=int, default=None, metavar="N", help="processes, one a GPU; 0 or 1: a single one (the default)"
    )


def add_nodes_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--nodes M`."""
    parser.add_argument(
        "--nodes", type=int, default=1, metavar="M", help="of this Slurm job, among which the GPUs are divided evenly"
    )


def launched(gpus: int | None, nodes: int = 1) -> bool:
    """Whether this process should start others: more than one is asked for, and torchrun has not started us."""
    return max(gpus or 0, nodes) > 1 and "TORCHELASTIC_RUN_ID" not in os.environ


def launch(gpus: int | None, arguments: Sequence[str], *, nodes: int = 1) -> int:
    """Run `python -m cpd ARGUMENTS` as `gpus` ranks on `nodes` nodes, and return the exit code.

    Raises:
        CpdError: the GPUs do not divide by the nodes, or there is no allocation of several nodes.
    """
    ranks = max(gpus or 0, nodes)
    if ranks % nodes:
        raise CpdError(f"{ranks} GPUs on {nodes} nodes", hint="every node takes the same number: change `gpus`")
    if nodes > 1 and NODES not in os.environ:
        return once_a_node(nodes, ranks // nodes, arguments)
    return torchrun(ranks // nodes, arguments)


def once_a_node(nodes: int, gpus: int, arguments: Sequence[str]) -> int:
    """Run this command on each of the job's nodes, with `gpus` GPUs there.

    No `--kill-on-bad-exit`: a node whose ranks have ended waits while rank 0 of another still writes a checkpoint.

    Raises:
        CpdError: there is no job.
    """
    if not slurm.job_id():
        raise CpdError(
            f"{nodes} nodes, but no Slurm job",
            hint="run it by `snakemake --profile slurm`, or raise cluster.gpus_per_node where one machine has them all",
        )
    places = [f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", f"--gpus-per-node={gpus}"]
    command = ["srun", *places, "--cpu-bind=none", sys.executable, "-m", "cpd", *arguments]
    return _run(command, env={**os.environ, NODES: str(nodes)})


def torchrun(processes: int, arguments: Sequence[str]) -> int:
    """Run `python -m cpd ARGUMENTS` as `processes` ranks of this node, and return the exit code.

    torchrun itself reports 1 whatever the ranks return: after a stop signal we return `EX_REQUEUE`, since running
    again goes on from the last checkpoint in any case.
    """
    command = [sys.executable, "-m", "torch.distributed.run", *rendezvous()]
    command += [f"--nproc-per-node={processes}", f"--shutdown-timeout={SAVING}"]
    # After `--` torchrun leaves options alone; before it, it takes `--run` for an abbreviation of its own.
    return _run([*command, "-m", "--", "cpd", *arguments], env=None)


def rendezvous() -> list[str]:
    """Where ranks meet: on this node, or at the first node of the step that `once_a_node` started.

    Raises:
        CpdError: this is no step of a Slurm job.
    """
    if NODES not in os.environ:
        return ["--standalone"]
    port = FIRST_PORT + int(slurm.job_id()) % PORTS
    return [
        f"--nnodes={os.environ[NODES]}",
        f"--node-rank={os.environ['SLURM_NODEID']}",
        f"--master-addr={slurm.first_address()}",
        f"--master-port={port}",
    ]


def _run(command: list[str], *, env: dict[str, str] | None) -> int:
    """Run a command, pass stop signals on, and return `EX_REQUEUE` when it ended by one."""
    with watching() as request:
        child = subprocess.Popen(command, env=env, preexec_fn=_end_with_parent)
        code = _wait(child, request)
    return EX_REQUEUE if code and (request.reason or code == EX_REQUEUE) else code


def _end_with_parent() -> None:
    """Before exec, in the child: SIGTERM when the parent dies, so that no rank goes on without who holds the lock."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait(child: subprocess.Popen[bytes], request: StopRequest) -> int:
    told = False
    while child.poll() is None:
        if request.reason and not told:
            child.terminate()  # torchrun passes SIGTERM on to the ranks and waits for them, srun to its tasks
            told = True
        time.sleep(0.2)
    return child.returncode

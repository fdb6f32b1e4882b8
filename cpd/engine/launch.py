"""`--gpus N`: the same command again, as N processes of one node (torchrun). Imports no torch."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from cpd.engine.signals import StopRequest, watching
from cpd.errors import EX_REQUEUE


def add_gpus_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--gpus N`."""
    parser.add_argument(
        "--gpus", type=int, default=None, metavar="N", help="processes, one a GPU; 0 or 1: a single one (the default)"
    )


def launched(gpus: int | None) -> bool:
    """Whether this process should start others: more than one is asked for, and torchrun has not started us."""
    return gpus is not None and gpus > 1 and "TORCHELASTIC_RUN_ID" not in os.environ


def torchrun(processes: int, arguments: Sequence[str]) -> int:
    """Run `python -m cpd ARGUMENTS` as `processes` ranks, pass stop signals on, and return the exit code.

    torchrun itself reports 1 whatever the ranks return: after a stop signal we return `EX_REQUEUE`, since running
    again goes on from the last checkpoint in any case.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    with watching() as request:
        # After `--` torchrun leaves options alone; before it, it takes `--run` for an abbreviation of its own.
        child = subprocess.Popen([*command, "-m", "--", "cpd", *arguments])
        code = _wait(child, request)
    return EX_REQUEUE if request.reason and code else code


def _wait(child: subprocess.Popen[bytes], request: StopRequest) -> int:
    told = False
    while child.poll() is None:
        if request.reason and not told:
            child.terminate()  # torchrun passes SIGTERM on to the ranks and waits for them
            told = True
        time.sleep(0.2)
    return child.returncode

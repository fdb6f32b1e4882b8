"""Several ranks of one function on loopback, started in a moment: a fork server has torch imported already."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cpd.errors import CpdError


def run_ranks(
    function: Callable[..., None], folder: Path, *arguments: Any, size: int = 2, limit: float = 90
) -> list[int]:
    """Call `function(folder, *arguments)` in `size` processes with torchrun's environment; returns the exit codes.

    What a rank raised is in `folder/error-RANK.txt`; a CpdError gives its exit code, anything else 1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "cpd.engine.loop", "cpd.pretrain.run"])
    port = _free_port()
    ranks = [
        context.Process(target=_rank, args=(function, rank, size, port, folder, arguments)) for rank in range(size)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(limit)
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode or 0 for process in ranks]


def error(folder: Path, rank: int) -> str:
    """What a rank raised, or ""."""
    path = folder / f"error-{rank}.txt"
    return path.read_text() if path.exists() else ""


def _rank(
    function: Callable[..., None], rank: int, size: int, port: int, folder: Path, arguments: tuple[Any, ...]
) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    if size > 1:
        os.environ.update({key: str(value) for key, value in place.items()})
        os.environ.update({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
    os.environ["OMP_NUM_THREADS"] = "1"
    code = 0
    try:
        function(folder, *arguments)
    except BaseException as caught:
        (folder / f"error-{rank}.txt").write_text(f"{caught}\n{traceback.format_exc()}")
        code = caught.exit_code if isinstance(caught, CpdError) else 1
    os._exit(code)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

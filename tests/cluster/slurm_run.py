"""Run the workflow on a Slurm of our own, and get in its way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PARTS = ("Snakefile", "config.yaml", "config.demo.yaml", "workflow", "profiles", "envs", "cpd", "slurm")
NEEDED = ("slurmctld", "slurmd", "sbatch", "munged")
SMALL = ("config.demo.yaml", "tests/cluster/config.small.yaml")
TABLE = "results/small/tables/small.md"
RUN = "results/small/pretrain/cpd-r34"
PATIENCE = 600.0


def missing_commands() -> list[str]:
    """What Debian's slurmctld, slurmd, slurm-client and munge would bring."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    return [name for name in NEEDED if shutil.which(name, path=places) is None]


def clone(folder: Path, *, source: Path = ROOT) -> Path:
    """A copy of the workflow, with the site's lines of the Slurm profile as a user would set them."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        one = source / part
        copy = shutil.copytree if one.is_dir() and not one.is_symlink() else shutil.copy
        copy(one, folder / part, **({"follow_symlinks": False} if one.is_symlink() else {}))
    (folder / "tests" / "cluster").mkdir(parents=True)
    shutil.copy(HERE / "config.small.yaml", folder / "tests" / "cluster")
    change_profile(folder, '# slurm_partition: "your-cpus"', 'slurm_partition: "cpus"')
    change_profile(folder, '# slurm_partition: "your-gpus"', 'slurm_partition: "gpus"')
    change_profile(folder, '# gpu_model: "a100"', 'gpu_model: "fake"')
    return folder


def change_profile(folder: Path, old: str, new: str) -> None:
    """Edit a line of the Slurm profile; it must be there."""
    path = folder / "profiles" / "slurm" / "config.yaml"
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new))


@dataclass
class Cluster:
    """A running Slurm."""

    folder: Path
    env: dict[str, str]
    started: list[subprocess.Popen] = field(default_factory=list)

    def clear(self) -> None:
        """End what a test left behind: its Snakemakes, then their jobs."""
        for snakemake in self.started:
            if snakemake.poll() is None:
                os.killpg(snakemake.pid, signal.SIGKILL)
        self.started.clear()
        self.ask("scancel", "--user", str(os.getuid()))
        end = time.monotonic() + 60
        while self.ask("squeue", "--noheader", "--states=R,CG,S,PD"):
            assert time.monotonic() < end, "jobs do not end"
            time.sleep(0.2)

    def tool(self, *words: str) -> str:
        """Run `mini_slurm.sh WORDS`; its output."""
        done = subprocess.run([str(HERE / "mini_slurm.sh"), *words], env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, *command: str) -> str:
        """Run a Slurm command."""
        return self.tool("run", *command)

    def jobs(self, rule: str = "", *, state: str = "RUNNING") -> list[str]:
        """Ids of this cluster's jobs of a rule, in a state ("all": in any)."""
        lines = self.ask("squeue", "--noheader", f"--states={state}", "--format=%i %k").splitlines()
        return [line.split()[0] for line in lines if f"rule_{rule}" in line]

    def job(self, number: str) -> dict[str, str]:
        """What Slurm knows of a job."""
        words = self.ask("scontrol", "show", "job", number).split()
        return dict(word.partition("=")[::2] for word in words if "=" in word)


def free_ports(first: int = 27000, *, count: int = 3) -> int:
    """The first of `count` ports in a row that nobody has: the controller's and the nodes'."""
    for port in range(first, first + 2000, 10):
        with ExitStack() as held:
            try:
                for one in range(port, port + count):
                    held.enter_context(socket.create_server(("127.0.0.1", one)))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no {count} free ports above {first}")


@contextmanager
def cluster(*, netns: bool = False, gpus: int = 2) -> Iterator[Cluster]:
    """A Slurm of two nodes, each with a few stand-ins for GPUs, for as long as the block lasts."""
    port = free_ports()
    folder = Path(f"/tmp/cpd-slurm-{os.getpid()}-{port}")  # short, and open to munge, which pytest's folders are not
    env = {
        **os.environ,
        "MINI_SLURM_DIR": str(folder),
        "MINI_SLURM_PORT": str(port),
        "MINI_SLURM_GPUS": str(gpus),
        "MINI_SLURM_NETNS": str(int(netns)),
    }
    here = Cluster(folder, env)
    here.tool("start")
    try:
        yield here
    finally:
        here.tool("stop")
        shutil.rmtree(folder)


def environment(folder: Path) -> dict[str, str]:
    """One thread a process, so that sums are taken in one order everywhere; the clone's own package; our snakemake."""
    path = os.pathsep.join([str(HERE), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder), "PATH": path}


def start(folder: Path, *options: str, on: Cluster | None = None, files: tuple[str, ...] = SMALL) -> subprocess.Popen:
    """Start `snakemake --cores all [--profile slurm] --configfile FILES OPTIONS` in `folder`."""
    env = environment(folder)
    command = ["snakemake", "--cores", "all", "--configfile", *files, *options]
    if on is not None:
        command[3:3] = ["--profile", "slurm"]
        env = {**env, "PATH": f"{on.folder / 'bin'}:{env['PATH']}"}
    with open(folder / "snakemake.log", "ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
    if on is not None:
        on.started.append(process)
    return process


def finish(process: subprocess.Popen, folder: Path, *, patience: float = PATIENCE) -> None:
    """Wait for a Snakemake that must succeed."""
    code = process.wait(patience)
    assert code == 0, (folder / "snakemake.log").read_text()[-6000:]


def table(folder: Path) -> list[dict]:
    """The cells of the small table."""
    return json.loads((folder / TABLE).with_suffix(".json").read_text())


def until(holds: Callable[[], object], *, what: str, process: subprocess.Popen, patience: float = 240.0) -> None:
    """Wait until something is so; the Snakemake that should bring it about must not have ended before."""
    end = time.monotonic() + patience
    while not holds():
        assert process.poll() is None, f"Snakemake ended before {what}"
        assert time.monotonic() < end, f"not in {patience:.0f} s: {what}"
        time.sleep(0.05)


def trainers(folder: Path) -> list[int]:
    """Processes that train in `folder`, launchers and ranks."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            here = os.readlink(path / "cwd") == str(folder)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if here and b"pretrain" in words and b"--seed" in words:
            found.append(int(path.name))
    return found


def checkpoints(folder: Path) -> list[Path]:
    """What the run has saved so far."""
    return sorted((folder / RUN / "checkpoints").glob("step-*.json"))


def freeze(folder: Path) -> list[int]:
    """Stop every training process where it stands; they go on at SIGCONT."""
    frozen = trainers(folder)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    return frozen


def thaw(pids: list[int]) -> None:
    """Let frozen processes go on; some may have been woken, and have ended, before."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

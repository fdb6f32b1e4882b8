"""Random kill -9 over the demo's crawl, clips and shards, and what is left of them afterwards.

Two copies of the workflow work on one corpus, from a web site on loopback that counts what it is asked for: one in
peace, the other under fire. `python tests/soak/soak_run.py --kills 50` runs it by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import yaml

from cpd.fileio import read_json, read_jsonl, sha256_file, write_json
from cpd.sources.demo import site

ROOT = Path(__file__).parent.parent.parent
PARTS = ("Snakefile", "config.yaml", "config.demo.yaml", "workflow", "profiles", "envs", "cpd")
TRAIN, VAL, CHUNK = 60, 20, 10
PACE = 0.2  # seconds of a request
INDEX = "results/demo/sources/kinetics/shards/index.json"
# A kind of victim, how often it is drawn, and the longest life it is left once it is seen.
KINDS = {"crawl": (0.5, 3.0), "shard": (0.25, 0.8), "snakemake": (0.25, 4.0)}


def overlay(port: int) -> dict:
    """The demo with few ids in small chunks, titles as they are, and pages at a site that outlives every crawl."""
    source = {"pairs": {"train": TRAIN, "val": VAL}, "url": f"http://127.0.0.1:{port}/watch/{{id}}", "site": None}
    return {
        "demo": {"train": TRAIN, "val": VAL, "ucf_per_class": 4, "hmdb_per_class": 4},
        "sources": {"kinetics": {**source, "chunk_size": CHUNK, "text": False}},
        "crawl": {"sleep": 0.0, "allow_private": True, "min_free_bytes": 0},
    }


def clone(folder: Path, *, port: int, source: Path = ROOT) -> Path:
    """A copy of the workflow of `source` in `folder`, with its overlay."""
    folder.mkdir(parents=True)
    for part in PARTS:
        copy = shutil.copytree if (source / part).is_dir() else shutil.copy
        copy(source / part, folder / part)
    (folder / "soak.yaml").write_text(yaml.safe_dump(overlay(port)))
    return folder


def snakemake(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start Snakemake in a session of its own, by which its jobs are known even when they are orphans."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *options]
    with open(folder / "snakemake.log", "ab") as log:
        return subprocess.Popen(
            [*command, "--configfile", "config.demo.yaml", "soak.yaml"],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def quiet(folder: Path, target: str) -> None:
    """Run to the end with nothing in the way."""
    if snakemake(folder, target).wait(600):
        raise RuntimeError((folder / "snakemake.log").read_text()[-3000:])


@dataclass
class Soak:
    """A run under fire.

    Attributes:
        folder: the clone.
        kills: how many to send.
        rng: of victims and moments.
        sent: what was killed so far, by kind.
        starts: how often Snakemake was started.
        again: how often all was done before the kills were used up, and the results (not the store) were deleted.
    """

    folder: Path
    kills: int
    rng: random.Random
    sent: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    again: int = 0
    sessions: set[int] = field(default_factory=set)
    process: subprocess.Popen[bytes] | None = None

    def run(self, *, limit: float) -> None:
        """Send every kill, then let the workflow finish; RuntimeError when that takes more than `limit` seconds."""
        end = time.monotonic() + limit
        while self.sent.total() < self.kills:
            self._check(end)
            self._strike()
        while self._step() != 0:
            self._check(end)
            time.sleep(0.5)
        while self.alive():
            self._check(end)
            time.sleep(0.2)

    def _check(self, end: float) -> None:
        if time.monotonic() > end:
            for victims in self.alive().values():
                for pid in victims:
                    os.kill(pid, signal.SIGKILL)
            raise RuntimeError(f"{self.folder}: not done; killed so far: {dict(self.sent)}")

    def _strike(self) -> None:
        """Wait for a process of a kind drawn at random, and kill it at a random moment of its life."""
        names = list(KINDS)
        (kind,) = self.rng.choices(names, [KINDS[name][0] for name in names])
        patience = time.monotonic() + 20
        while not (victims := self.alive().get(kind, [])):
            if self._step() == 0:
                self._delete_results()
            if time.monotonic() > patience:
                return  # this kind has nothing to do at present
            time.sleep(0.02)
        time.sleep(self.rng.uniform(0, KINDS[kind][1]))
        pid = self.rng.choice(victims)
        if pid in self.alive().get(kind, []):
            os.kill(pid, signal.SIGKILL)
            self.sent[kind] += 1

    def _step(self) -> int | None:
        """See to it that a Snakemake runs; its exit code when one has ended."""
        if self.process is not None and (code := self.process.poll()) is None:
            return None
        ended = None if self.process is None else code
        if ended != 0:
            if self.process is not None:
                snakemake(self.folder, "--unlock", INDEX).wait(120)
            self._start()
        return ended

    def _start(self) -> None:
        self.process = snakemake(self.folder, INDEX)
        self.sessions.add(self.process.pid)
        self.starts += 1

    def _delete_results(self) -> None:
        self.again += 1
        for stage in ("crawl", "shards"):
            shutil.rmtree(self.folder / "results/demo/sources/kinetics" / stage)
        self._start()

    def alive(self) -> dict[str, list[int]]:
        """Processes of the sessions that were started here, by kind."""
        found: dict[str, list[int]] = {}
        for pid, session, arguments in _processes():
            if session in self.sessions and (kind := _kind(pid, session, arguments)):
                found.setdefault(kind, []).append(pid)
        return found


def _kind(pid: int, session: int, arguments: list[str]) -> str:
    if arguments[1:3] == ["-m", "cpd"]:
        return arguments[3]
    return "snakemake" if pid == session else ""


def _processes() -> Iterator[tuple[int, int, list[str]]]:
    """(pid, session, arguments) of every process that lives and is no zombie."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()
            arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if state[0] != "Z":
            yield int(folder.name), int(state[3]), arguments


class SlowSite(site.Site):
    """The demo's site at a network's pace, so that most kills find something in flight."""

    def count(self, path: str) -> None:
        super().count(path)
        time.sleep(0 if path == "/hits" else PACE)


@contextmanager
def counted_site(folder: Path) -> Iterator[int]:
    """The site, for as long as the context lasts; yields its port."""
    server = SlowSite((site.HOST, 0), pages=read_json(folder / "pages.json"), media=folder / "media")
    with site.running(server):
        yield server.server_port


def hits(port: int) -> Counter[str]:
    """What the site was asked for."""
    with urlopen(f"http://127.0.0.1:{port}/hits", timeout=30) as response:
        return Counter(json.load(response))


def outcome(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Chunk -> id -> what the shard's ledger says of it, once for every row."""
    found: dict[str, dict[str, list[str]]] = {}
    for path in sorted((folder / INDEX).parent.glob("*.ledger.jsonl")):
        rows = found.setdefault(path.name.removesuffix(".ledger.jsonl"), {})
        for row in read_jsonl(path):
            rows.setdefault(row["id"], []).append(row["status"])
    return found


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every shard, of its sidecar and of the index."""
    paths = [path for path in (folder / INDEX).parent.iterdir() if path.suffix in (".tar", ".json")]
    return {path.name: sha256_file(path) for path in sorted(paths)}


def planned(folder: Path) -> dict[str, list[str]]:
    """Chunk -> ids of its plan."""
    plans = (folder / "results/demo/sources/kinetics/plan").glob("*.jsonl")
    return {path.stem: [row["id"] for row in read_jsonl(path)] for path in sorted(plans)}


def compare(calm: Path, shot: Path, soak: Soak, *, asked_calm: Counter[str], asked_shot: Counter[str]) -> dict:
    """The numbers of a soak."""
    plan, found = planned(shot), outcome(shot)
    once = [i for chunk, ids in plan.items() for i in ids if len(found.get(chunk, {}).get(i, [])) == 1]
    extra = asked_shot - asked_calm
    other = {name for name, digest in digests(calm).items() if digests(shot).get(name) != digest}
    store = shot / "data/demo/store/kinetics"
    return {
        "kills": dict(soak.sent),
        "snakemake_starts": soak.starts,
        "results_deleted": soak.again,
        "planned_ids": sum(map(len, plan.values())),
        "ids_once_in_the_ledger": len(once),
        "same_outcome_as_quiet": found == outcome(calm),
        "statuses": dict(Counter(s for rows in found.values() for told in rows.values() for s in told)),
        "media_refetched": sum(n for path, n in extra.items() if path.startswith("/media/")),
        "pages_refetched": sum(n for path, n in extra.items() if path.startswith("/watch/")),
        "never_asked_for": sorted(set(asked_calm) - set(asked_shot)),
        "shards": sum(name.endswith(".tar") for name in digests(calm)),
        "files_that_differ_from_quiet": sorted(other),
        "leftovers_in_results": len(list((shot / "results").rglob(".tmp*"))),
        "leftovers_in_media": len(list((store / "media").rglob(".tmp*"))),
    }


def run(folder: Path, *, kills: int, seed: int, limit: float = 1500.0) -> dict:
    """The whole of it, below `folder`; returns the numbers of `compare` and the seconds it took."""
    began = time.monotonic()
    calm, shot = clone(folder / "calm", port=1), folder / "shot"
    quiet(calm, "data/demo/corpus.json")
    with counted_site(calm / "data/demo/site") as port:
        (calm / "soak.yaml").write_text(yaml.safe_dump(overlay(port)))
        quiet(calm, INDEX)
        asked_calm = hits(port)
    with counted_site(calm / "data/demo/site") as port:
        clone(shot, port=port, source=calm)  # the very same code, whatever is edited meanwhile
        shutil.copytree(calm / "data/demo", shot / "data/demo", ignore=shutil.ignore_patterns("store"))
        soak = Soak(shot, kills, random.Random(seed))
        soak.run(limit=limit)
        asked_shot = hits(port)
    told = compare(calm, shot, soak, asked_calm=asked_calm, asked_shot=asked_shot)
    return {"seed": seed, "seconds": round(time.monotonic() - began, 1), **told}


def main() -> None:
    """By hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("results/soak.json"))
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))  # it stays where a run fails
    told = run(folder, kills=args.kills, seed=args.seed)
    shutil.rmtree(folder)
    write_json(args.output, told)
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()

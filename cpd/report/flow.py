"""From listed ids to samples in shards: how many pass each stage, and why the others do not.

Every listed id is counted once, at the first stage that does not let it pass, so the sums close by construction:
listed = in shards + lost + waiting. An id without a row of its own in a stage's file is waiting for that stage.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cpd.fileio import read_json
from cpd.report.rows import read_rows
from cpd.sources.plan import chunk_names

if TYPE_CHECKING:
    from cpd.config import Config, Source

WAITING = "waiting"
# What it is called when an id has passed, and the folder whose rows say so.
FETCHED, TITLED, CLIPPED, PACKED = (
    ("fetched", "crawl"),
    ("titled", "tree"),
    ("clipped", "clips"),
    ("in shards", "shards"),
)


@dataclass(frozen=True)
class Stage:
    """One stage: `entered` ids, and those of them that did not pass, by reason (commonest first, waiting last)."""

    name: str
    entered: int
    lost: dict[str, int]

    @property
    def passed(self) -> int:
        """Number of ids that go on."""
        return self.entered - sum(self.lost.values())


@dataclass(frozen=True)
class Flow:
    """One split of a source; `problem` says where files contradict each other."""

    source: str
    split: str
    listed: int
    stages: tuple[Stage, ...]
    problem: str = ""

    @property
    def samples(self) -> int:
        """Number of ids that became a sample of a shard."""
        return self.stages[-1].passed

    @property
    def waiting(self) -> int:
        """Number of ids that no stage has refused, and that are not in a shard yet."""
        return sum(stage.lost.get(WAITING, 0) for stage in self.stages)

    @property
    def lost(self) -> dict[str, int]:
        """Number of ids by reason, over all stages, those that wait left out."""
        total: Counter[str] = Counter()
        for stage in self.stages:
            total.update({reason: n for reason, n in stage.lost.items() if reason != WAITING})
        return dict(total.most_common())


class _Row(msgspec.Struct):
    id: str
    status: str


class _Planned(msgspec.Struct):
    id: str


def flows(config: Config) -> list[Flow]:
    """The flow of every split of every source, from the rows of its chunks.

    Raises:
        CpdError: a line of one of the files is not a row (file and line are named).
    """
    return [
        _flow(Path(config.results) / "sources" / name, source, split, chunks)
        for name, source in config.sources.items()
        for split, chunks in chunk_names(source).items()
    ]


def _flow(folder: Path, source: Source, split: str, chunks: list[str]) -> Flow:
    names = [FETCHED, *([TITLED] if source.text else []), CLIPPED, PACKED]
    ends: dict[str, Counter[str]] = {name: Counter() for name, _ in names}
    planned = 0
    for chunk in chunks:
        ids = [row.id for row in read_rows(folder / "plan" / f"{chunk}.jsonl", _Planned)]
        planned += len(ids)
        for name, found in _verdicts(folder, chunk, ids, names).items():
            ends[name].update(found)
    listed = max(planned, source.pairs[split])
    ends[names[0][0]][WAITING] += listed - planned
    stages = _stages(listed, ends)
    return Flow(folder.name, split, listed, stages, _contradiction(folder, split, stages[-1].passed))


def _verdicts(folder: Path, chunk: str, ids: list[str], names: list[tuple[str, str]]) -> dict[str, Counter[str]]:
    """By stage, why ids end there."""
    ends: dict[str, Counter[str]] = {}
    left = ids
    for name, stage in names:
        status = {row.id: row.status for row in read_rows(_path(folder, stage, chunk), _Row)}
        verdicts = [status.get(identity, WAITING) for identity in left]
        ends[name] = Counter(verdict for verdict in verdicts if verdict != "ok")
        left = [identity for identity, verdict in zip(left, verdicts, strict=True) if verdict == "ok"]
    return ends


def _path(folder: Path, stage: str, chunk: str) -> Path:
    return folder / stage / (f"{chunk}.ledger.jsonl" if stage == "shards" else f"{chunk}.jsonl")


def _stages(listed: int, ends: dict[str, Counter[str]]) -> tuple[Stage, ...]:
    stages = []
    entered = listed
    for name, lost in ends.items():
        order = sorted((-n, reason) for reason, n in lost.items() if n and reason != WAITING)
        by_reason = {reason: -n for n, reason in order}
        if lost[WAITING]:
            by_reason[WAITING] = lost[WAITING]
        stages.append(Stage(name, entered, by_reason))
        entered = stages[-1].passed
    return tuple(stages)


def _contradiction(folder: Path, split: str, samples: int) -> str:
    """What index.json says, where that is something else."""
    path = folder / "shards" / "index.json"
    if not path.is_file():
        return ""
    indexed = read_json(path).get(split, {}).get("n", 0)
    return "" if indexed == samples else f"{path} counts {indexed} samples, the chunks' rows {samples}: run `cpd index`"

"""Features on two gloo ranks: the file of one rank, bit for bit, also when one of the two was killed on the way."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cpd.config import Config
from cpd.engine import distributed
from cpd.evaluate import embed, features
from cpd.pretrain import pretrain
from tests.engine.fork_ranks import error, run_ranks
from tests.small_corpus import break_video, open_corpus, write_corpus

LIMIT = 300  # seconds: a busy machine takes its time, and only a hang takes so long

RUN, PARTS = "random", 8


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of random weights, and 32 videos of which one cannot be decoded."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    config = open_corpus(folder)
    pretrain(config, RUN, seed=0, folder=folder / "results" / "pretrain" / RUN)
    break_video(config, "acts", "all", _keys(config)[5])
    return folder


def _keys(config: Config) -> list[str]:
    from cpd.shards.read import SampleTable

    return SampleTable.open(Path(config.results), [("acts", "all")]).keys


def extract(folder: Path, corpus: Path, dies: bool = False) -> None:
    embed.PART = 4
    config = open_corpus(corpus)
    with distributed.joined(timeout_seconds=300) as world:
        if dies and world.rank == 1:
            embed.Parts.write = _write_one_and_die(embed.Parts.write)  # type: ignore[method-assign]
        features.code_digest = lambda *modules: "the code may be edited while this runs"
        path = features.extract(config, RUN, source="acts", split="all", world=world)
        (folder / f"seen-{world.rank}").write_bytes(path.read_bytes())


def _write_one_and_die(write):  # type: ignore[no-untyped-def]
    def dying(self: embed.Parts, first: int, part: embed.Embedded) -> None:
        write(self, first, part)
        sys.exit(9)

    return dying


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of one rank."""
    folder = tmp_path_factory.mktemp("one")
    assert run_ranks(extract, folder, corpus, size=1, limit=LIMIT) == [0], error(folder, 0)
    return (folder / "seen-0").read_bytes()


@pytest.mark.slow
def test_two_ranks_write_the_file_of_one(corpus: Path, tmp_path: Path, alone: bytes) -> None:
    path = features.features_path(open_corpus(corpus), RUN, source="acts", split="all")
    path.unlink()
    assert run_ranks(extract, tmp_path, corpus, limit=LIMIT) == [0, 0], error(tmp_path, 0)
    assert [(tmp_path / f"seen-{rank}").read_bytes() for rank in (0, 1)] == [alone, alone]
    assert len(features.load(path)) == 31
    assert [key for key, _ in features.load(path).failed] == [_keys(open_corpus(corpus))[5]]


@pytest.mark.slow
def test_a_rank_that_dies_costs_no_finished_part(corpus: Path, tmp_path: Path, alone: bytes) -> None:
    path = features.features_path(open_corpus(corpus), RUN, source="acts", split="all")
    path.unlink()
    assert 0 not in run_ranks(extract, tmp_path / "killed", corpus, True, limit=LIMIT)
    assert not path.exists()
    kept = len(list(path.with_suffix(".parts").rglob("*.npz")))
    assert 1 <= kept < PARTS, "rank 1 left one part, rank 0 up to four"
    assert run_ranks(extract, tmp_path / "again", corpus, size=1, limit=LIMIT) == [0], error(tmp_path / "again", 0)
    assert path.read_bytes() == alone, "parts of three ranks, one file"
    assert list(path.parent.iterdir()) == [path]

"""Faults 32 and 33 at length: 50 random kill -9 to crawls, shard jobs and Snakemake itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cpd.fileio import write_json
from tests.soak.soak_run import TRAIN, VAL, run

KILLS = int(os.environ.get("CPD_SOAK_KILLS", "50"))


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_nothing_is_lost_under_fire(tmp_path: Path) -> None:
    told = run(tmp_path, kills=KILLS, seed=int(os.environ.get("CPD_SOAK_SEED", "1")))
    write_json(Path(__file__).parents[2] / "results" / "soak.json", told)
    assert sum(told["kills"].values()) == KILLS
    assert told["planned_ids"] == told["ids_once_in_the_ledger"] == TRAIN + VAL
    assert told["same_outcome_as_quiet"]
    assert told["never_asked_for"] == []
    assert told["media_refetched"] <= KILLS
    assert told["pages_refetched"] <= KILLS
    assert told["files_that_differ_from_quiet"] == []
    assert told["shards"] == -(-TRAIN // 10) + -(-VAL // 10)
    assert told["leftovers_in_media"] == 0

"""`cpd plan` and `snakemake -n` count the same jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cpd.config import load_config
from cpd.plan.build import build
from tests.workflow.workflow_copies import DEMO, planned

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
@pytest.mark.parametrize("overlays", [(), DEMO, (*DEMO, "config.demo-seeds.yaml")], ids=["paper", "demo", "seeds"])
def test_the_default_target(clone: Path, overlays: tuple[str, ...]) -> None:
    config = load_config(*(ROOT / name for name in ("config.yaml", *overlays)))
    assert build(config).total.jobs == dict(planned(clone, configfiles=overlays))


@pytest.mark.slow
@pytest.mark.parametrize("table", ["table4", "beyond"])
def test_one_table(clone: Path, table: str) -> None:
    config = load_config(ROOT / "config.yaml", ROOT / "config.demo.yaml")
    jobs = planned(clone, f"{config.results}/tables/{table}.md")
    assert build(config, [table]).total.jobs == dict(jobs)

"""`cpd plan` and `snakemake -n` count the same jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from cpd.config import load_config
from cpd.plan.build import build
from tests.workflow.workflow_copies import DEMO, planned

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
@pytest.mark.parametrize(
    "overlays",
    [(), DEMO, (*DEMO, "config.demo-seeds.yaml"), (*DEMO, "config.demo-rho.yaml")],
    ids=["paper", "demo", "seeds", "rho"],
)
def test_the_default_target(clone: Path, overlays: tuple[str, ...]) -> None:
    config = load_config(*(ROOT / name for name in ("config.yaml", *overlays)))
    assert build(config).total.jobs == dict(planned(clone, configfiles=overlays))


@pytest.mark.slow
@pytest.mark.parametrize("table", ["table4", "beyond"])
def test_one_table(clone: Path, table: str) -> None:
    config = load_config(ROOT / "config.yaml", ROOT / "config.demo.yaml")
    jobs = planned(clone, f"{config.results}/tables/{table}.md")
    assert build(config, [table]).total.jobs == dict(jobs)


@pytest.mark.slow
def test_the_table_of_persistency_in_the_demo(clone: Path) -> None:
    """The one target of `make demo-rho`: a pretraining, two splits of features, two probes for each of its rows."""
    overlays = (*DEMO, "config.demo-rho.yaml")
    config = load_config(*(ROOT / name for name in ("config.yaml", *overlays)))
    jobs = planned(clone, f"{config.results}/tables/rho.md", configfiles=overlays)
    assert build(config, ["rho"]).total.jobs == dict(jobs)
    rows = len(config.tables["rho"].rows)
    assert [jobs[rule] for rule in ("pretrain", "features", "knn", "linear")] == [rows, 2 * rows, rows, rows]

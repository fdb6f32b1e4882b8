"""Every line of docs/ablations.md is an experiment and a row, and its dry run is its own training and no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cpd.config import Config, experiment, load_config
from cpd.plan.build import build
from tests.workflow.workflow_copies import DEMO, ROOT, planned, snakemake

PAGE = (ROOT / "docs" / "ablations.md").read_text()
LINES = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| [^|]+ \|$", PAGE, re.MULTILINE)
NAMES = [next(iter(yaml.safe_load(line))) for line, _ in LINES]


def overlay(*lines: tuple[str, str]) -> dict[str, Any]:
    """The lines as a config overlay."""
    experiments = {name: value for line, _ in lines for name, value in yaml.safe_load(line).items()}
    return {"experiments": experiments, "tables": {"table1": {"rows": [yaml.safe_load(row) for _, row in lines]}}}


def load(folder: Path, over: dict[str, Any], *configfiles: str) -> Config:
    (folder / "ablation.yaml").write_text(yaml.safe_dump(over))
    return load_config(*(ROOT / name for name in ("config.yaml", *configfiles)), folder / "ablation.yaml")


def test_there_are_ten_and_more() -> None:
    assert len(LINES) == len(set(NAMES)) >= 10


@pytest.mark.parametrize("line", LINES, ids=NAMES)
def test_a_line_changes_something_and_makes_its_row(tmp_path: Path, line: tuple[str, str]) -> None:
    config = load(tmp_path, overlay(line))
    (name,), (row,) = yaml.safe_load(line[0]), config.tables["table1"].rows
    assert row.run == name
    assert name not in load_config(ROOT / "config.yaml").experiments
    changed = experiment(config, name) != experiment(config, "cpd-r34-stage1")
    assert changed or "evaluate" in config.experiments[name]
    jobs = build(config, ["table1"]).total.jobs
    assert (jobs["pretrain"], jobs["finetune"], jobs["table"]) == (1, 1, 1)


@pytest.mark.slow
def test_all_lines_at_once_in_a_dry_run(clone: Path) -> None:
    (clone / "ablation.yaml").write_text(yaml.safe_dump(overlay(*LINES)))
    target = "results/demo/tables/table1.md"
    output = snakemake(clone, "-n", "--", target, configfiles=(*DEMO, "ablation.yaml"))
    for name in NAMES:
        assert f"results/demo/pretrain/{name}/model.safetensors" in output
        assert f"results/demo/eval/{name}/finetune/ucf101-1.json" in output
    jobs = planned(clone, target, configfiles=(*DEMO, "ablation.yaml"))
    assert (jobs["pretrain"], jobs["finetune"], jobs["table"]) == (len(NAMES), len(NAMES), 1)


def test_the_page_s_example_is_an_overlay(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    config = load(tmp_path, yaml.safe_load(block), *DEMO)
    assert [row.run for row in config.tables["table1"].rows] == ["cpd-r34-stage1", "tau-02"]

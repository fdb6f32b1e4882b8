"""A config with one small table, and result files for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cpd.config import Config, load_config

ROOT = Path(__file__).parent.parent.parent
OVERLAY = """
results: {results}
corpus: {corpus}
seeds: [{seeds}]
tables:
  table1:
    columns:
      - {{name: UCF101 split 1, protocol: finetune, dataset: ucf101, splits: ["1"], metric: top1}}
      - {{name: three folds, protocol: knn, dataset: ucf101, splits: ["1", "2", "3"], metric: "{{feature}}.top1"}}
      - {{name: 50 classes, protocol: zeroshot, dataset: ucf101, splits: ["1"], metric: "50.top1"}}
    rows:
      - {{name: Cross-pair discrimination, run: cpd-r34, feature: emb}}
      - {{name: Random initialization, run: random-r34, columns: [UCF101 split 1]}}
      - {{name: Ranking loss, external: a checkpoint}}
"""


@pytest.fixture
def configfiles(tmp_path: Path) -> list[Path]:
    text = OVERLAY.format(results=tmp_path / "results", corpus="full", seeds="0, 1")
    (tmp_path / "over.yaml").write_text(text)
    return [ROOT / "config.yaml", tmp_path / "over.yaml"]


@pytest.fixture
def config(configfiles: list[Path]) -> Config:
    return load_config(*configfiles)

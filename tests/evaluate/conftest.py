"""A small config that the tests of the protocols share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cpd.config import Config, load_config
from tests.evaluate.feature_files import CLASSES

ROOT = Path(__file__).parent.parent.parent
OVERLAY = """
results: {results}
data: {results}/data
sources: {{kinetics: {{factors: {factors}}}}}
evaluate: {{knn: {{k: 5}}, linear: {{epochs: 4, batch: 16}}, zeroshot: {{subsets: [2], draws: 3}}, retrieval: {{n: 6}}}}
"""


@pytest.fixture
def configfiles(tmp_path: Path) -> list[Path]:
    factors = tmp_path / "factors.json"
    factors.write_text(json.dumps({name: dict(zip(("motion", "way"), name.split(), strict=True)) for name in CLASSES}))
    (tmp_path / "over.yaml").write_text(OVERLAY.format(results=tmp_path / "results", factors=factors))
    return [ROOT / "config.yaml", tmp_path / "over.yaml"]


@pytest.fixture
def config(configfiles: list[Path]) -> Config:
    return load_config(*configfiles)

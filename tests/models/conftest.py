from pathlib import Path

import pytest

from cpd.config import Backbone, Encoder, Experiment, Heads, Objective
from cpd.models import encoders
from tests.models.small_towers import SmallTextTower, write_encoder


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Encoder:
    monkeypatch.setattr(encoders, "TextTower", SmallTextTower)
    return write_encoder(tmp_path / "encoders" / "small")


@pytest.fixture
def untrained() -> Experiment:
    small = {"backbone": Backbone(depth=10, width=4), "heads": Heads(dim=8, hidden=10)}
    return Experiment(objective=Objective(name="none"), **small)

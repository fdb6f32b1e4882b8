"""What docs/encoders.md shows is what the config takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cpd.config import experiment, load_config

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "encoders.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(2))
def test_its_examples_are_configs(tmp_path: Path, number: int) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(BLOCKS[number])
    config = load_config(ROOT / "config.yaml", overlay)
    names = re.findall(r"^  ([\w-]+):", BLOCKS[number].split("experiments:")[1], re.MULTILINE)
    assert names
    for name in names:
        exp = experiment(config, name)
        assert exp.encoder in config.encoders
        if number == 1:
            assert exp.backbone.weights
            assert exp.objective.name == "none"

"""docs/data.md shows sources that the config takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest
import yaml

from cpd.config import Source
from cpd.sources.plan import chunk_names

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.S)]
SOURCES = {name: value for block in BLOCKS for name, value in block.items()}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_of_the_page_is_one(name: str) -> None:
    source = msgspec.convert(SOURCES[name], Source)
    assert chunk_names(source)
    assert source.url or source.videos


def test_every_kind_has_its_section() -> None:
    kinds = set(get_args(get_type_hints(Source)["kind"]))
    told = {kind for heading in re.findall(r"^## .*\((`.*)\)$", PAGE, re.M) for kind in re.findall(r"`(\w+)`", heading)}
    assert told == kinds

"""libyaml reads a config as PyYAML's own loader does, and says no more and no less."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from cpd.config import strict_yaml
from cpd.errors import ConfigError

ROOT = Path(__file__).parents[1]
TEXTS = [
    "a",
    "b: ",
    "- ",
    "1e-4",
    "1.5",
    "null",
    "~",
    "yes",
    "'",
    '"',
    "#",
    " ",
    "\n",
    "\n  ",
    ": ",
    "{",
    "}",
    "[",
    "]",
]
TEXTS += [", ", "&x ", "*x", "<<: ", "|\n  ", ">-\n ", "!!python/name:os ", "é", "? ", "0o7", "1_0", "2020-01-01", "\t"]


def plain(text: str) -> tuple[Any, str]:
    """The slow twin: value and error of PyYAML's own loader."""
    return read_by(text, strict_yaml._PLAIN)


def read_by(text: str, loader: Any) -> tuple[Any, str]:
    try:
        return yaml.load(io.StringIO(text), Loader=loader), ""
    except yaml.YAMLError as error:
        return None, str(error)


def ours(text: str) -> tuple[Any, str]:
    try:
        return strict_yaml._load(io.StringIO(text)), ""
    except yaml.YAMLError as error:
        return None, str(error)


@pytest.mark.parametrize("path", sorted(ROOT.glob("config*.yaml")), ids=lambda path: path.name)
def test_the_configs(path: Path) -> None:
    text = path.read_text()
    assert yaml.__with_libyaml__
    assert read_by(text, strict_yaml._FAST) == plain(text)  # read at the first attempt
    assert strict_yaml.read_yaml(path) == plain(text)[0]


@given(st.lists(st.sampled_from(TEXTS), max_size=12).map("".join))
@example("a: 1\na: 2")
@example("x: &x {a: 1}\ny: {<<: *x, b: 2}")
@example("\ufeffa: 1")
def test_any_text(text: str) -> None:
    assert repr(ours(text)) == repr(plain(text))  # by repr: a NaN is not equal to itself


@pytest.mark.parametrize(
    "text", ["a: 1\nb: {a: 1, a: 2}\n", "a: [1\n", "a: {{b: c}: d}\n", "a: !!python/name:os.system x\n"]
)
def test_the_message_shows_file_and_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bad.yaml.*line \d") as caught:
        strict_yaml.read_yaml(path)
    with path.open() as handle, pytest.raises(yaml.YAMLError) as wanted:
        yaml.load(handle, Loader=strict_yaml._PLAIN)
    assert str(wanted.value) in str(caught.value)


@pytest.mark.parametrize("data", [b"a: \xe9\n", b"a: 2020-13-01\n", b"a: !!int x\n"])
def test_what_no_value_can_be_made_of(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "latin.yaml").write_bytes(data)
    with pytest.raises(ConfigError, match=r"latin\.yaml"):
        strict_yaml.read_yaml(tmp_path / "latin.yaml")

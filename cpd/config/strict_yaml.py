"""YAML without its surprises: duplicate keys, `1e-4` as text, NaN and python objects are errors."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, TextIO

import yaml

from cpd.errors import ConfigError


def _unique_mapping(loader: Any, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    mapping: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, "a key that is no plain value", key_node.start_mark)
        if key in mapping:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


def _refusing_duplicates(safe: type) -> Any:
    """A safe loader of PyYAML that refuses duplicate keys."""
    loader: Any = type(f"Strict{safe.__name__}", (safe,), {})
    loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)
    return loader


_PLAIN = _refusing_duplicates(yaml.SafeLoader)
_FAST = _refusing_duplicates(yaml.CSafeLoader) if yaml.__with_libyaml__ else _PLAIN


def _load(handle: TextIO) -> Any:
    """By libyaml, eight times as fast; what it refuses is read again for the message of PyYAML, which shows the line.

    libyaml lets tabs pass where PyYAML does not: a file with one is PyYAML's.
    """
    text = handle.read()
    with contextlib.suppress(yaml.YAMLError):
        if "\t" not in text:
            return yaml.load(text, Loader=_FAST)  # noqa: S506 - a SafeLoader
    handle.seek(0)
    return yaml.load(handle, Loader=_PLAIN)  # noqa: S506 - a SafeLoader


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read one YAML mapping, strictly.

    Raises:
        ConfigError: the file is missing, not YAML, not a mapping, or has a duplicate key.
    """
    try:
        with open(path, encoding="utf-8") as handle:
            value = _load(handle)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file", hint="name it with --configfile") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: bytes that are no text, a 13th month
        raise ConfigError(f"{path}: {error}", hint="mend the line that the message names") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: a config file is a mapping, not {type(value).__name__}")
    return value


_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z")


def refuse_odd_numbers(value: Any, *, key: str) -> None:
    """YAML 1.1 reads 1e-4 as text, and accepts .nan and .inf, which no setting of ours means."""
    if isinstance(value, dict):
        for name, item in value.items():
            refuse_odd_numbers(item, key=f"{key}: {name}" if ": " not in key else f"{key}.{name}")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            refuse_odd_numbers(item, key=f"{key}[{position}]")
    elif isinstance(value, str) and _FLOAT.match(value):
        raise ConfigError(f"{key} is {value!r}, which YAML reads as text", hint=f"write {_as_float(value)}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key} is {value}", hint="give a finite number")


def _as_float(text: str) -> str:
    mantissa, exponent = re.split("[eE]", text)
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    sign = "" if exponent[0] in "+-" else "+"
    return f"{mantissa}e{sign}{exponent}"

"""The config as a reference page: every key, its type and its default, from the types themselves."""

from __future__ import annotations

import inspect
from typing import Any, get_args

import msgspec

from cpd.config.base import Strict
from cpd.config.load import Config
from cpd.config.training import Experiment

HEAD = """# Config reference

Written by `python -m cpd config --reference > docs/config.md`; a test fails when it is stale.
`1e-4` is text in YAML: write `1.0e-4` or `0.0001`.
An overlay (`--configfile over.yaml`) merges mappings and replaces lists.
"""


def reference() -> str:
    """The whole reference page as Markdown."""
    return HEAD + "".join(_section(kind) for kind in _reachable(Config, Experiment))


def schema() -> dict[str, Any]:
    """JSON schema of config.yaml, for editors."""
    return msgspec.json.schema(Config)


def _reachable(*kinds: type[Strict]) -> list[type[Strict]]:
    """Every config type, in the order in which keys lead to it (`defaults` and `experiments` hold Experiments)."""
    found = list(kinds)
    for known in found:
        for info in msgspec.structs.fields(known):
            found += [part for part in dict.fromkeys(_structs(info.type)) if part not in found]
    return found


def _structs(annotation: Any) -> list[type[Strict]]:
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return [annotation]
    return [part for item in get_args(annotation) for part in _structs(item)]


def _section(kind: type[Strict]) -> str:
    rows = "".join(_row(info) for info in msgspec.structs.fields(kind))
    return f"\n## {kind.__name__}\n\n{inspect.getdoc(kind)}\n\n| key | type | default |\n|---|---|---|\n{rows}"


def _row(info: msgspec.structs.FieldInfo) -> str:
    return f"| `{info.name}` | {_type_name(info.type)} | {_default(info)} |\n"


def _type_name(annotation: Any) -> str:
    if isinstance(annotation, type) and not get_args(annotation):
        linked = issubclass(annotation, Strict)
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})" if linked else annotation.__name__
    text = str(annotation).replace("typing.", "").replace("|", "\\|")
    for part in _structs(annotation):
        text = text.replace(f"{part.__module__}.{part.__qualname__}", f"[{part.__name__}](#{part.__name__.lower()})")
    return text.replace("Ellipsis", "...").replace("NoneType", "null").replace("None", "null")


def _default(info: msgspec.structs.FieldInfo) -> str:
    if info.required:
        return "*required*"
    if info.default is msgspec.NODEFAULT:
        return "`{}`"
    if isinstance(info.default, Strict):
        return f"see [{type(info.default).__name__}](#{type(info.default).__name__.lower()})"
    return f"`{msgspec.json.encode(info.default).decode()}`"

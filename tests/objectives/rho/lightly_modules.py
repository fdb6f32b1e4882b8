"""Single modules of lightly, where it is installed: an implementation by other hands to check losses against."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from unittest import mock

import pytest
from torch import nn

PACKAGES = ("lightly", "lightly.loss", "lightly.models", "lightly.models.modules", "lightly.utils")


def lightly(module: str) -> types.ModuleType:
    """A module of lightly, without what its packages import of torchvision; skips where lightly is not installed."""
    spec = importlib.util.find_spec("lightly")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("lightly is not installed: pip install lightly --no-deps")
    root = Path(spec.submodule_search_locations[0])
    bare = {name: types.ModuleType(name) for name in PACKAGES}
    for name, package in bare.items():
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
    vision, ops = types.ModuleType("torchvision"), types.ModuleType("torchvision.ops")
    vars(ops)["StochasticDepth"] = nn.Identity  # named by a module on the way, used by no loss
    with mock.patch.dict(sys.modules, {**bare, "torchvision": vision, "torchvision.ops": ops}):
        return importlib.import_module(module)

"""Other people's packages, to measure ours against. None is needed; `make peers` puts them into `.peers`.

They stay out of the environment: their pins are pyproject.toml's group `peers`, installed without dependencies, and
torchcodec gets the FFmpeg libraries that PyAV brings along, so that both decode with the same code.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import av
import torch

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".peers"
LIBRARIES = FOLDER / "lib"
_LIBRARY = re.compile(r"(lib(?:av|sw)[a-z]+)-[0-9a-f]+(\.so\.\d+)")


def load(module: str) -> ModuleType | str:
    """The module, or why it cannot be had."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
        _let_torchvision_import()
    try:
        return importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:  # shared libraries fail in ways of their own
        missing = isinstance(error, ModuleNotFoundError) and (error.name or "") == module.partition(".")[0]
        return "not installed (`make peers`)" if missing else f"does not import: {_first_line(error)}"


def _let_torchvision_import() -> None:
    """torchvision's wheel beside a CPU build of torch cannot load its compiled operators, and stops at two by name.

    Declared without a body they let the transforms import, which use neither.
    """
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        return
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in ("nms", "qnms"):
            torch.library.define(f"torchvision::{operator}", "(Tensor a, Tensor b, float c) -> Tensor")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:120]


def install() -> None:
    """Fill `.peers`."""
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["peers"]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", FOLDER, "--no-deps", *pins], check=True)
    LIBRARIES.mkdir(exist_ok=True)
    for path in Path(av.__file__).parents[1].glob("av.libs/*.so*"):
        named = _LIBRARY.match(path.name)
        if named:
            link = LIBRARIES / "".join(named.groups())
            link.unlink(missing_ok=True)
            link.symlink_to(path)


if __name__ == "__main__":
    install()

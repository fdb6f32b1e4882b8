"""Environments and images: current, pinned, and known to the rules. That conda builds them is not tested here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
ENVS = sorted((ROOT / "envs").glob("*.yaml"))


def test_environments_are_current() -> None:
    """python envs/make.py writes them."""
    command = [sys.executable, str(ROOT / "envs" / "make.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_every_package_is_pinned(path: Path) -> None:
    env = yaml.safe_load(path.read_text())
    *plain, pip = env["dependencies"]
    assert all("=" in package for package in plain if package != "pip")
    assert all(re.fullmatch(r"[\w.-]+==[\w.+-]+", package) for package in pip["pip"])


def test_every_rule_has_an_environment() -> None:
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        for text in re.split(r"(?m)^ *rule\b", path.read_text())[1:]:
            if "shell:" in text:
                named = re.findall(r'"\.\./\.\./envs/(\w+\.yaml)"', text)
                assert named, text[:200]
                assert set(named) <= {env.name for env in ENVS}


@pytest.mark.parametrize("name", ["Dockerfile", "apptainer.def"])
def test_images_have_the_python_of_the_environments(name: str) -> None:
    (version,) = {yaml.safe_load(path.read_text())["dependencies"][0] for path in ENVS}
    assert f"python:{version.removeprefix('python=')}-slim" in (ROOT / name).read_text()

"""The documentation says what is there: the site builds, every page has its place, verbs and files exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cpd.cli import ALIASES, VERBS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SITE = tomllib.loads((ROOT / "zensical.toml").read_text())


def code_of(page: Path) -> str:
    """What stands between backticks, one piece a line."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", page.read_text(), re.S))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_verb_on_a_page_is_one(page: Path) -> None:
    code = re.sub(r"```diff.*?```", "", code_of(page), flags=re.S)  # verbs that an example proposes
    verbs = set(re.findall(r"(?:^|`|-m )cpd ([a-z][a-z-]+)\b", code, re.M))
    assert not verbs - {*VERBS, *ALIASES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_ours_on_a_page_is_there(page: Path) -> None:
    code = re.sub(r'title="[^"]*"', "", code_of(page))  # files that an example proposes
    named = re.findall(r"\b((?:cpd|tests|benchmarks|workflow|profiles|envs)/[\w/.-]*\w)", code)
    assert not [name for name in named if "NAME" not in name and "." in name and not (ROOT / name).exists()]


def test_every_page_has_its_place_in_the_menu() -> None:
    assert set(re.findall(r"'([\w-]+\.md)'", str(SITE["project"]["nav"]))) == {
        path.name for path in (ROOT / "docs").glob("*.md")
    }


@pytest.mark.slow
def test_the_site_builds_and_all_links_lead_somewhere(tmp_path: Path) -> None:
    for name in ("docs", "zensical.toml"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    zensical = Path(sys.executable).parent / "zensical"
    done = subprocess.run([zensical, "build", "--strict"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    html = (tmp_path / "site" / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//(?!arxiv\.org|snakemake|github\.com|zensical\.org)[^"]*', html)

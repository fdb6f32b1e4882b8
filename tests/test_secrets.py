"""Fault 84: what is secret goes where it is needed, and into no file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("Snakefile", "config.yaml", "config.demo.yaml", "workflow", "profiles", "envs", "cpd")
INDEX = "results/demo/sources/kinetics/shards/index.json"
CANARY = "canary-6f1d2c"
OVERLAY = """
demo: {train: 40, val: 16, ucf_per_class: 4, hmdb_per_class: 4}
sources: {kinetics: {pairs: {train: 40, val: 16}, text: false}}
crawl: {cookies: cookies.txt, min_free_bytes: 0}
"""
COOKIES = "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t4102444800\tsession\t%s\n"


@pytest.mark.slow
def test_cookies_and_keys_are_in_no_file_of_a_run(tmp_path: Path) -> None:
    """A crawl with cookies, and a key in the environment, through the workflow; then every file is read."""
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    (tmp_path / "over.yaml").write_text(OVERLAY)
    cookies = tmp_path / "cookies.txt"
    cookies.write_text(COOKIES % CANARY)
    cookies.chmod(0o600)
    env = {**os.environ, "WANDB_API_KEY": CANARY, "https_proxy": f"http://me:{CANARY}@127.0.0.1:9"}
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "config.demo.yaml", "over.yaml"]
    done = subprocess.run([*command, "--", INDEX], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-4000:]
    assert CANARY not in told
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert holding == [cookies]
    assert cookies.read_text() == COOKIES % CANARY  # and it is read, never written

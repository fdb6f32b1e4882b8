"""Files that a person puts there: told at once with place and key, and a changed one trains its runs again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.workflow.workflow_copies import DEMO, ROOT, SHELL, planned, snakemake

OVERLAY = """
experiments:
  random-r34: {backbone: {weights: mine/weights.pth}}
tables:
  table1: {rows: [{name: Random initialization, run: random-r34}]}
"""
TARGET = "results/demo/tables/table1.md"


@pytest.fixture
def mine(clone: Path) -> tuple[str, ...]:
    """Config files of an experiment that begins with a local file, which is not there yet."""
    (clone / "over.yaml").write_text(OVERLAY)
    return (*DEMO, "over.yaml")


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


@pytest.mark.slow
def test_a_changed_file_trains_again(clone: Path, mine: tuple[str, ...]) -> None:
    assert planned(clone, TARGET, configfiles=mine)["given"] == 1, "the plan is printed without the file"
    put(clone / "mine" / "weights.pth", b"one")
    snakemake(clone, "--", TARGET, configfiles=mine)
    assert not planned(clone, TARGET, configfiles=mine)
    put(clone / "mine" / "weights.pth", b"another")
    jobs = planned(clone, TARGET, configfiles=mine)
    assert (jobs["given"], jobs["pretrain"], jobs["finetune"], jobs["table"]) == (1, 1, 1, 1)
    assert not {"crawl", "shard"} & set(jobs)


@pytest.mark.slow
def test_what_is_missing_is_told_and_the_rest_is_built(clone: Path) -> None:
    """The real commands of the two checking rules, beside rules that only touch their outputs."""
    with_real_commands(clone / "workflow" / "rules" / "data.smk", "given", "chunks")
    wanted = ["results/sources/lsmdc/plan/train-0000.jsonl", "results/given/encoders.skip-thoughts.json"]
    other = "data/stanza/resources.json"
    output = snakemake(clone, "--keep-going", "--", *wanted, other, configfiles=("config.yaml",), ok=False)
    told = ("sources.lsmdc.lists.train", "data/lists/lsmdc", "agreement", "encoders.skip-thoughts.path", "utable.npy")
    for words in told:
        assert words in output
    assert "MissingInputException" not in output
    assert (clone / other).exists()
    assert not [path for path in wanted if (clone / path).exists()]


def with_real_commands(rules: Path, *verbs: str) -> None:
    """Give the rules of some verbs their own shell back."""
    text, original = rules.read_text(), (ROOT / "workflow" / "rules" / "data.smk").read_text()
    touched = list(re.finditer(r'shell:\n +"touch [^\n]*"\n', text))
    real = list(SHELL.finditer(original))
    assert len(touched) == len(real)
    for there, own in reversed(list(zip(touched, real, strict=True))):
        if any(f"python -m cpd {verb}" in own[0] for verb in verbs):
            text = text[: there.start()] + own[0] + text[there.end() :]
    rules.write_text(text)

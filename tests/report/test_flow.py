"""Sums close, whatever is missing; the picture says what the rows say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpd.config import Config
from cpd.errors import CpdError
from cpd.report.flow import WAITING, Flow, Stage, flows
from cpd.report.flow_svg import MOST, draw
from tests.report.report_corpus import LOST, N_TRAIN, N_VAL


def test_rows_in_are_ok_and_failed_and_waiting(study: Config) -> None:
    train, val = flows(study)
    assert (val.listed, val.samples, val.lost, val.waiting) == (N_VAL, N_VAL, {}, 0)
    assert train.samples == N_TRAIN
    assert train.lost == Counter(reason for reasons in LOST.values() for reason in reasons)
    assert train.waiting == 2, "in the list, and not in the plan yet"
    assert train.listed == train.samples + sum(train.lost.values()) + train.waiting
    assert [stage.lost for stage in train.stages] == [
        {"gone": 2, "<b>odd</b>": 1, WAITING: 2},
        {"empty_text": 1},
        {"too_short": 1},
        {},
    ]
    assert not train.problem


def slow_ends(folder: Path, ids: list[str]) -> Counter[str]:
    """The verdict on each id, looked up one by one."""
    ends: Counter[str] = Counter()
    for identity in ids:
        verdict = "in shards"
        for name in ("crawl/val-0000", "tree/val-0000", "clips/val-0000", "shards/val-0000.ledger"):
            path = folder / f"{name}.jsonl"
            rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
            found = [row["status"] for row in rows if row["id"] == identity]
            if found != ["ok"]:
                verdict = found[0] if found else WAITING
                break
        ends[verdict] += 1
    return ends


@pytest.mark.parametrize("absent", ["crawl", "tree", "clips"])
@pytest.mark.parametrize("bad", [None, "crawl", "tree", "clips"])
def test_flow_agrees_with_a_look_at_each_id(own: Config, absent: str, bad: str | None) -> None:
    folder = Path(own.results) / "sources" / "pairs"
    ids = [json.loads(line)["id"] for line in (folder / "plan" / "val-0000.jsonl").read_text().splitlines()]
    if bad:
        path = folder / bad / "val-0000.jsonl"
        path.write_text(path.read_text().replace('"ok"', '"live"', 3))
    rows = (folder / absent / "val-0000.jsonl").read_text().splitlines(keepends=True)
    (folder / absent / "val-0000.jsonl").write_text("".join(rows[4:]) + '{"id": "half a li')
    wanted = slow_ends_of(folder, ids)
    found = flows(own)[1]
    assert Counter(found.lost) + Counter({WAITING: found.waiting, "in shards": found.samples}) == wanted
    assert found.listed == sum(wanted.values())
    assert "run `cpd index`" in found.problem


def slow_ends_of(folder: Path, ids: list[str]) -> Counter[str]:
    for path in folder.glob("*/val-0000.jsonl"):
        text = path.read_text()
        path.write_text(text[: text.rindex("\n") + 1])  # for the slow reader; the half line has served
    return +slow_ends(folder, ids)


def test_nothing_yet(own: Config) -> None:
    import shutil

    shutil.rmtree(Path(own.results) / "sources")
    for flow in flows(own):
        assert flow.waiting == flow.listed > 0
        assert (flow.samples, flow.lost) == (0, {})
        assert "waiting" in draw(flow)


def test_a_line_that_is_no_row_is_named(own: Config) -> None:
    path = Path(own.results) / "sources" / "pairs" / "clips" / "val-0000.jsonl"
    path.write_text('{"id": "a", "status": "ok"}\n{"id": 3}\n')
    with pytest.raises(CpdError, match=r"clips/val-0000\.jsonl:2: "):
        flows(own)


reasons = st.dictionaries(st.text(max_size=12), st.integers(1, 10**6), max_size=MOST + 4)


@given(reasons, reasons, st.integers(0, 10**6))
def test_the_picture_is_xml_and_holds_every_number(first: dict[str, int], last: dict[str, int], ok: int) -> None:
    total = ok + sum(first.values()) + sum(last.values())
    stages = (Stage("fetched", total, first), Stage("in shards", total - sum(first.values()), last))
    root = ElementTree.fromstring(draw(Flow("a<b", "train", total, stages)))
    text = " ".join(root.itertext()).replace(",", "")
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {"svg", "rect", "path", "text", "title"}
    assert str(ok) in text
    for stage in (first, last):
        shown = [n for _, n in list(stage.items())[:MOST]] if len(stage) <= MOST else []
        assert all(str(n) in text for n in shown)

"""Prediction files: what goes in comes out, fewer than five classes included; what cannot be is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cpd.errors import CpdError
from cpd.evaluate import predictions as p

RETRIEVED = p.Retrieved(
    keys=["a", "b"], t2v=p.Ranked(rank=[1, 2], top5=[[0, 1], [0, 1]]), v2t=p.Ranked(rank=[2, 1], top5=[[1, 0], [1, 0]])
)


def test_classes_are_numbered_by_name_and_only_five_are_kept() -> None:
    ranked = {"emb": [["c", "a"], list("abcdefg")], "res5": [["a"], ["b"]]}
    found = p.scored(ranked, ["a", "new"], ["k1", "k2"], classes="gfedcba")
    told = found.predictions
    assert isinstance(told, p.Classified)
    assert told.classes == [*"abcdefg", "new"]
    assert told.labels == [0, 7]
    assert told.top5 == {"emb": [[2, 0], [0, 1, 2, 3, 4]], "res5": [[0], [1]]}
    assert (found.values["emb"]["top1"], found.values["emb"]["top5"], found.values["res5"]["top1"]) == (0, 50, 50)
    assert len(found) == 2


@pytest.mark.parametrize(
    "made",
    [
        p.Classified(classes=["a", "b"], keys=["x"], labels=[1], top5={"all": [[1, 0]]}),
        p.Classified(classes=[], keys=[], labels=[], top5={}),
        RETRIEVED,
    ],
)
def test_round_trip(tmp_path: Path, made: p.Predictions) -> None:
    path = p.predictions_path(tmp_path / "few-0.5.json")
    assert path.name == "few-0.5.predictions.json"
    p.write_predictions(path, made)
    assert p.read_predictions(path) == made


GOOD = {"classes": ["a"], "keys": ["x"], "labels": [0], "top5": {"emb": [[0]]}}


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"labels": [1]}, "labels speaks of number 1 of 1"),
        ({"labels": [-1]}, "labels speaks of number -1 of 1"),
        ({"labels": []}, "labels has 0 rows for 1 keys"),
        ({"top5": {"emb": [[0], [0]]}}, "top5.emb has 2 rows for 1 keys"),
        ({"top5": {"emb": [[0, 3]]}}, "top5.emb speaks of number 3"),
        ({"more": 1}, "more"),
        ({"labels": ["a"]}, "labels"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, change: dict, wanted: str) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(GOOD | change))
    with pytest.raises(CpdError, match=rf"bad\.json.*{wanted}"):
        p.read_predictions(tmp_path / "bad.json")


def test_a_rank_beyond_the_items_is_refused_before_writing(tmp_path: Path) -> None:
    bad = p.Retrieved(keys=["a"], t2v=p.Ranked(rank=[2], top5=[[0]]), v2t=p.Ranked(rank=[1], top5=[[0]]))
    with pytest.raises(CpdError, match=r"t2v\.rank"):
        p.write_predictions(tmp_path / "r.json", bad)
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_a_bad_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(CpdError, match=r"bad\.json"):
        p.read_predictions(tmp_path / "bad.json")

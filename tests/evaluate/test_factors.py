"""Parts of a class told apart, and what guessing would score."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cpd.errors import CpdError
from cpd.evaluate.factors import classification_scores, factor_scores, load_factors

FACTORS = {
    "hop red": {"motion": "hop", "appearance": "red"},
    "hop blue": {"motion": "hop", "appearance": "blue"},
    "roll red": {"motion": "roll", "appearance": "red"},
}


def test_factor_scores_by_hand() -> None:
    truth = ["hop red", "hop red", "hop blue", "roll red"]
    predicted = ["hop blue", "hop red", "hop red", "hop red"]
    assert factor_scores(predicted, truth, FACTORS) == {
        "motion": 75.0,
        "appearance": 50.0,
        "chance": {"motion": 75.0, "appearance": 75.0},
    }


def test_without_factors_there_are_no_scores() -> None:
    assert factor_scores(["a"], ["b"], None) == {}


def test_a_class_without_factors_is_named() -> None:
    with pytest.raises(CpdError, match="fly red"):
        factor_scores(["fly red"], ["hop red"], FACTORS)


def test_classification_scores_by_hand() -> None:
    ranked = [["hop red", "hop blue"], ["roll red", "hop blue"], ["hop blue"]]
    scores = classification_scores(ranked, ["hop red", "hop blue", "roll red"], FACTORS)
    assert scores["top1"] == pytest.approx(100 / 3)
    assert scores["top5"] == pytest.approx(200 / 3)
    assert scores["chance"] == {"top1": pytest.approx(100 / 3), "motion": pytest.approx(200 / 3)} | {
        "appearance": pytest.approx(200 / 3)
    }


def test_top5_ends_at_the_fifth() -> None:
    assert classification_scores([list("abcdef")], ["f"])["top5"] == 0
    assert classification_scores([list("abcdef")], ["e"])["top5"] == 100


@pytest.mark.parametrize("content", [{"a": {"x": 1}}, ["a"], {"a": {"x": "1"}, "b": {"y": "1"}}])
def test_a_bad_factors_file_is_named(tmp_path: Path, content: object) -> None:
    path = tmp_path / "factors.json"
    path.write_text(json.dumps(content))
    with pytest.raises(CpdError, match=r"factors\.json"):
        load_factors(path)

"""Zero-shot by class names: the names as words, all classes, and random subsets against a slow twin."""

from __future__ import annotations

import os
import statistics
from pathlib import Path

import pytest
import torch

from cpd.config import ZeroShot, load_config
from cpd.errors import CpdError
from cpd.evaluate import zeroshot
from cpd.evaluate.datasets import Labelled

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("BasketballDunk", "basketball dunk"),
        ("brush_hair", "brush hair"),
        ("playing guitar", "playing guitar"),
        ("YoYo", "yo yo"),
        ("TVShow", "tv show"),
        ("Handstand Pushups", "handstand pushups"),
        ("tying knot (not on a tie)", "tying knot (not on a tie)"),
        ("__A__b__", "a b"),
    ],
)
def test_class_phrase(name: str, words: str) -> None:
    assert zeroshot.class_phrase(name) == words


GOLDEN = {
    "ApplyEyeMakeup": "apply eye makeup",
    "BodyWeightSquats": "body weight squats",
    "CleanAndJerk": "clean and jerk",
    "CuttingInKitchen": "cutting in kitchen",
    "HandstandPushups": "handstand pushups",
    "HulaHoop": "hula hoop",
    "RockClimbingIndoor": "rock climbing indoor",
    "SkateBoarding": "skate boarding",
    "TaiChi": "tai chi",
    "WalkingWithDog": "walking with dog",
    "YoYo": "yo yo",
    "climb_stairs": "climb stairs",
    "fall_floor": "fall floor",
    "flic_flac": "flic flac",
    "shoot_bow": "shoot bow",
    "pullup": "pullup",
    "abseiling": "abseiling",
    "air drumming": "air drumming",
    "massaging person's head": "massaging person's head",
    "passing American football (in game)": "passing american football (in game)",
    "skiing (not slalom or crosscountry)": "skiing (not slalom or crosscountry)",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_names_of_the_official_lists(name: str) -> None:
    assert zeroshot.class_phrase(name) == GOLDEN[name]


def official(file: str) -> list[str]:
    """Class names of an official list."""
    path = Path(os.environ.get("CPD_SHARED", ROOT / "../shared")) / "lists" / file
    if not path.is_file():
        pytest.skip(f"{path} is not there (set CPD_SHARED)")
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def test_every_name_of_ucf101() -> None:
    names = [line.split()[1] for line in official("ucf101/classInd.txt")]
    assert len(names) == 101
    for name in names:
        words = zeroshot.class_phrase(name).split()
        assert "".join(words) == name.lower()
        assert len(words) == sum(letter.isupper() for letter in name)


def test_every_name_of_hmdb51_and_kinetics() -> None:
    hmdb51, kinetics = official("hmdb51/class_list.txt"), official("kinetics400/label_map_k400.txt")
    assert (len(hmdb51), len(kinetics)) == (51, 400)
    assert [zeroshot.class_phrase(name) for name in hmdb51] == [name.replace("_", " ") for name in hmdb51]
    assert [zeroshot.class_phrase(name) for name in kinetics] == [name.lower() for name in kinetics]
    assert len({zeroshot.class_phrase(name) for name in hmdb51}) == 51


def test_prompts_are_averaged_after_normalisation() -> None:
    length = {"a hop left": 1.0, "a roll": 3.0, "hop left!": 100.0, "roll!": 0.01}
    asked = []

    def embed(sentences: list[str]) -> torch.Tensor:
        asked.extend(sentences)
        return torch.stack([length[s] * torch.tensor([float("hop" in s), float("!" in s) + 1]) for s in sentences])

    class_KD = zeroshot.embed_classes(["HopLeft", "roll"], prompts=["a {}", "{}!"], embed=embed)
    assert asked == ["a hop left", "a roll", "hop left!", "roll!"]
    half, steep = 0.5**0.5, 0.2**0.5
    torch.testing.assert_close(class_KD, torch.tensor([[(half + steep) / 2, (half + 2 * steep) / 2], [0.0, 1.0]]))


@pytest.mark.parametrize("prompts", ["['a video']", "['{} {}']", "[]"])
def test_prompts_without_a_place_for_the_name_are_refused(configfiles: list[Path], prompts: str) -> None:
    over = configfiles[-1].with_name("prompts.yaml")
    over.write_text(f"evaluate: {{zeroshot: {{prompts: {prompts}}}}}")
    with pytest.raises(CpdError, match="prompts"):
        load_config(*configfiles, over)


def case(seed: int = 0) -> tuple[torch.Tensor, list[str], torch.Tensor, list[str]]:
    generator = torch.Generator().manual_seed(seed)
    classes = [f"c{i:02d}" for i in range(12)]
    class_KD = torch.randn(12, 6, generator=generator)
    label_Q = torch.randint(12, (90,), generator=generator)
    video_QD = class_KD[label_Q] + 1.2 * torch.randn(90, 6, generator=generator)
    return video_QD, [classes[i] for i in label_Q.tolist()], class_KD, classes


def items(video_QD: torch.Tensor, labels: list[str]) -> Labelled:
    return Labelled({"emb": video_QD}, labels, [f"k{i}" for i in range(len(labels))])


def slow(video_QD: torch.Tensor, labels: list[str], class_KD: torch.Tensor, named: dict[str, int]) -> float:
    hits = []
    for video_D, label in zip(video_QD, labels, strict=True):
        if label in named:
            cosine = {name: float(torch.cosine_similarity(video_D, class_KD[i], 0)) for name, i in named.items()}
            hits.append(max(cosine, key=cosine.__getitem__) == label)
    return 100 * sum(hits) / len(hits)


def test_agrees_with_the_slow_twin() -> None:
    video_QD, labels, class_KD, classes = case()
    settings = ZeroShot(subsets=(3, 12, 50), draws=4)
    measured = zeroshot.evaluate(items(video_QD, labels), class_KD, classes=classes, settings=settings)
    values = measured.values
    place = {name: i for i, name in enumerate(classes)}
    assert values["all"]["top1"] == pytest.approx(slow(video_QD, labels, class_KD, place))
    draws = [zeroshot.draw_classes(classes, size=3, draw=draw) for draw in range(4)]
    scores = [slow(video_QD, labels, class_KD, {name: place[name] for name in names}) for names in draws]
    assert values["3"]["top1"] == pytest.approx(statistics.fmean(scores))
    assert values["3"]["std"] == pytest.approx(statistics.stdev(scores))
    items_of = [sum(label in names for label in labels) for names in draws]
    assert values["3"]["share"] * len(labels) / 100 == pytest.approx(statistics.fmean(items_of))
    assert set(values) == {"classes", "all", "3"}, "subsets of all classes or more are skipped"
    assert values["all"]["top1"] < values["3"]["top1"]
    told = measured.predictions
    assert [classes[i] for i in told.labels] == labels
    right = sum(best[0] == i for best, i in zip(told.top5["all"], told.labels, strict=True))
    assert values["all"]["top1"] == pytest.approx(100 * right / 90)


def test_draws_differ_and_do_not_depend_on_order() -> None:
    classes = [f"c{i}" for i in range(30)]
    draws = [tuple(zeroshot.draw_classes(classes, size=5, draw=draw)) for draw in range(10)]
    assert len(set(draws)) == 10
    assert draws == [tuple(zeroshot.draw_classes(classes[::-1], size=5, draw=draw)) for draw in range(10)]


def test_draws_without_any_test_video_are_told() -> None:
    with pytest.raises(CpdError, match="no test video"):
        zeroshot.evaluate(
            items(torch.ones(1, 2), ["z"]),
            torch.ones(30, 2),
            classes=[f"c{i}" for i in range(30)],
            settings=ZeroShot(subsets=(2,)),
        )

import csv
import io
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cpd.config import Demo
from cpd.errors import ConfigError
from cpd.sources.demo import classes, downstream, lists

SHARED = Path(__file__).parents[3] / os.environ.get("CPD_SHARED", "../shared")


@pytest.fixture(scope="module")
def web() -> list[lists.WebVideo]:
    return lists.web_videos(Demo())


def test_classes_are_partly_crossed_and_partly_unseen() -> None:
    assert (len(classes.ALL), len(classes.SEEN), len(classes.UNSEEN)) == (30, 22, 8)
    for field, values in (("motion", classes.MOTIONS), ("appearance", classes.APPEARANCES)):
        for part in (classes.SEEN, classes.UCF101, classes.HMDB51):
            assert {getattr(category, field) for category in part} == set(values)
    assert len(set(classes.UCF101) & set(classes.UNSEEN)) == 4
    assert len(set(classes.HMDB51) & set(classes.UNSEEN)) == 3
    assert (len(set(classes.UCF101)), len(set(classes.HMDB51))) == (12, 10)
    assert classes.Category("bounce", "red ball").ucf101 == "BouncingRedBall"
    assert classes.Category("bounce", "red ball").hmdb51 == "bounce_red_ball"


def test_counts_and_fates(web: list[lists.WebVideo]) -> None:
    for split, ids, bad in (("train", 480, 5), ("val", 160, 2)):
        fates = Counter(video.fate for video in web if video.split == split)
        assert fates == {"ok": ids - 5 * bad, **dict.fromkeys(lists.FATES, bad)}
    assert not {video.category for video in web} & set(classes.UNSEEN)
    per_class = Counter(video.category for video in web if video.split == "train")
    assert set(per_class) == set(classes.SEEN)
    assert max(per_class.values()) - min(per_class.values()) <= 1


def test_ids_are_odd_and_distinct(web: list[lists.WebVideo]) -> None:
    ids = [video.id for video in web]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{11}", i) for i in ids)
    assert len(set(ids)) == len(ids) == len({lists.media_name(i) for i in ids})
    assert any(i.startswith("-") for i in ids)
    assert any(i.startswith("_") for i in ids)
    assert len({i.lower() for i in ids}) == len(ids) - 1


def test_kinetics_csv_reads_back(web: list[lists.WebVideo]) -> None:
    text = lists.kinetics_csv(web, split="train")
    assert "\r" not in text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == ["label", "youtube_id", "time_start", "time_end", "split", "is_cc"]
    assert [row["youtube_id"] for row in rows] == [video.id for video in web if video.split == "train"]
    for row in rows:
        assert 0 < float(row["time_start"]) < float(row["time_end"]) < 4
        assert row["label"] in {category.kinetics for category in classes.SEEN}


def test_kinetics_csv_looks_as_the_official_one(web: list[lists.WebVideo]) -> None:
    official = SHARED / "lists/kinetics400/kinetics-400_val.csv"
    if not official.exists():
        pytest.skip("the official lists are not here")
    line = re.compile(r'("[A-Za-z ()/\'-]+"|[a-z]+),[A-Za-z0-9_-]{11},[0-9.]+,[0-9.]+,val,[01]\n')
    with official.open(newline="") as handle:
        theirs = handle.readlines()
    ours = lists.kinetics_csv(web, split="val").splitlines(keepends=True)
    assert ours[0] == theirs[0]
    assert all(line.fullmatch(row) for row in theirs[1:])
    assert all(line.fullmatch(row) for row in ours[1:])


def test_some_titles_are_copies(web: list[lists.WebVideo]) -> None:
    train = [video.title for video in web if video.split == "train"]
    copies = [title.text for title in train if title.kind == "duplicate"]
    assert 0.01 < len(copies) / len(train) < 0.06
    originals = {title.text for title in train if title.kind != "duplicate"}
    assert set(copies) <= originals


def test_ucf_lists() -> None:
    videos = downstream.ucf_videos(Demo())
    files = downstream.ucf_lists(videos)
    assert len(files) == 7
    assert files["classInd.txt"].splitlines()[0] == "1 BouncingGreenStar"
    assert files["classInd.txt"].count("\r\n") == 12
    assert "\r" in files["trainlist01.txt"]
    names = {name.lower() for name in files["classInd.txt"].split()[1::2]}
    assert len(names) == 12
    for split in "123":
        train = [line.split() for line in files[f"trainlist0{split}.txt"].splitlines()]
        test = files[f"testlist0{split}.txt"].splitlines()
        assert all(re.fullmatch(r"(\w+)/v_\1_g\d\d_c\d\d\.avi", name) for name in [*test, *(n for n, _ in train)])
        assert len(train) + len(test) == len(videos) == 192
        assert not {group(name) for name, _ in train} & {group(name) for name in test}
        numbers = dict(line.split()[::-1] for line in files["classInd.txt"].splitlines())
        assert all(numbers[name.split("/")[0]] == n for name, n in train)
    tests = [set(files[f"testlist0{split}.txt"].splitlines()) for split in "123"]
    assert len(tests[0] | tests[1] | tests[2]) == sum(map(len, tests))


def group(name: str) -> str:
    return name.rsplit("_c", 1)[0]


def test_hmdb_lists() -> None:
    files = downstream.hmdb_lists(downstream.hmdb_videos(Demo()))
    assert len(files) == 30
    tested: Counter[str] = Counter()
    for name, text in files.items():
        label = re.fullmatch(r"(\w+)_test_split[123]\.txt", name)
        rows = [
            re.fullmatch(rf"([#\w]+_{label[1]}_f_cm_np1_fr_med_\d\.avi) ([012]) ", line)
            for line in text.split("\n")[:-1]
        ]
        assert Counter(row[2] for row in rows) == {"1": 7, "2": 3, "0": 2}
        tested.update(row[1] for row in rows if row[2] == "2")
    assert set(tested.values()) == {1}


@pytest.mark.parametrize("per_class", range(4, 30))
def test_every_split_has_training_and_test_videos_of_every_class(per_class: int) -> None:
    demo = Demo(ucf_per_class=per_class, hmdb_per_class=per_class)
    for videos in (downstream.ucf_videos(demo), downstream.hmdb_videos(demo)):
        assert len({video.name for video in videos}) == len(videos)
        assert set(Counter(video.category for video in videos).values()) == {per_class}
        for split in range(3):
            folds = {(video.category, video.folds[split]) for video in videos}
            assert {(video.category, fold) for video in videos for fold in ("train", "test")} <= folds
        assert all(video.folds.count("test") <= 1 for video in videos)


@pytest.mark.parametrize(
    ("demo", "key"),
    [
        (Demo(train=13), "demo.train: 13"),
        (Demo(val=8), "demo.val: 8"),
        (Demo(ucf_per_class=3), "demo.ucf_per_class: 3"),
        (Demo(hmdb_per_class=3), "demo.hmdb_per_class: 3"),
    ],
)
def test_too_small_a_corpus_is_refused_by_key(demo: Demo, key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        lists.web_videos(demo), downstream.ucf_videos(demo), downstream.hmdb_videos(demo)


def test_another_process_writes_the_same_lists(web: list[lists.WebVideo]) -> None:
    code = "from cpd.sources.demo import lists; from cpd.config import Demo; print(hash_of(lists.web_videos(Demo())))"
    code = f"hash_of = lambda v: __import__('hashlib').sha256(repr(v).encode()).hexdigest()\n{code}"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    other = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    import hashlib

    assert other.stdout.strip() == hashlib.sha256(repr(web).encode()).hexdigest()
    assert lists.web_videos(Demo(seed=1)) != web

"""The demo's web videos: ids, fates, titles and intervals, and their list in Kinetics' format.

Everything here is a pure function of the config; nothing is rendered.
"""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Iterable
from dataclasses import dataclass, replace

from cpd import config
from cpd.errors import ConfigError
from cpd.sources.demo import classes, titles
from cpd.sources.demo.classes import Category, number, stream
from cpd.sources.demo.render import FPS, Scene
from cpd.sources.demo.titles import Title

FATES = ("gone", "private", "corrupt", "empty_text", "too_long")  # statuses of the ledger
SIZES = ((96, 72), (112, 84), (80, 80), (72, 96))
SECONDS, LONG_SECONDS = 4.0, 60.0
ID_LETTERS = string.ascii_letters + string.digits + "_-"


@dataclass(frozen=True)
class WebVideo:
    """A video of the web site: its page, its fate in a crawl and the annotated interval in seconds."""

    id: str
    split: str
    category: Category
    fate: str
    title: Title
    start: float
    end: float
    seconds: float
    scene: Scene


def web_videos(demo: config.Demo) -> list[WebVideo]:
    """Every id of the train and val lists, in the lists' order (label, then id).

    Raises:
        ConfigError: too few ids to hold the bad ones.
    """
    ids = _ids(demo)
    videos = []
    for split, count, least in (("train", demo.train, 2), ("val", demo.val, 1)):
        fates = _fates(demo, split=split, count=count, least=least)
        split_ids, ids = ids[:count], ids[count:]
        videos += _split_videos(demo, split=split, ids=split_ids, fates=fates)
    return videos


def _ids(demo: config.Demo) -> list[str]:
    """Distinct ids; the first four begin with - and _ and differ by case alone."""
    rng = stream(demo.seed, "ids")
    odd = ["-" + _letters(rng, 10), "_" + _letters(rng, 10)]
    odd += [(tail := _letters(rng, 10)) + "a", tail + "A"]
    ids = dict.fromkeys(odd)
    while len(ids) < demo.train + demo.val:
        ids[_letters(rng, 11)] = None
    return list(ids)


def _letters(rng: random.Random, n: int) -> str:
    return "".join(rng.choices(ID_LETTERS, k=n))


def _fates(demo: config.Demo, *, split: str, count: int, least: int) -> list[str]:
    """1 % of each bad fate, `least` at least; the odd ids at the front are all good."""
    bad = [fate for fate in FATES for _ in range(max(least, round(0.01 * count)))]
    if count < len(bad) + 4:
        raise ConfigError(f"demo.{split}: {count} ids are too few", hint=f"give {len(bad) + 4} or more")
    rest = bad + ["ok"] * (count - len(bad) - 4)
    stream(demo.seed, "fates", split).shuffle(rest)
    return ["ok"] * 4 + rest


def _split_videos(demo: config.Demo, *, split: str, ids: list[str], fates: list[str]) -> list[WebVideo]:
    rng = stream(demo.seed, "titles", split)
    categories = [classes.SEEN[i % len(classes.SEEN)] for i in range(len(ids))]
    rng.shuffle(categories)
    written = _titles(categories, fates, rng)
    videos = [
        _web_video(demo, split=split, video_id=i, category=c, fate=f, title=t)
        for i, c, f, t in zip(ids, categories, fates, written, strict=True)
    ]
    return sorted(videos, key=lambda video: (video.category.kinetics, video.id))


def _titles(categories: list[Category], fates: list[str], rng: random.Random) -> list[Title]:
    """A title for each; 3 % copy an earlier one letter by letter."""
    written: list[Title] = []
    english: list[Title] = []
    for category, fate in zip(categories, fates, strict=True):
        if fate == "empty_text":
            written.append(titles.foreign_title(category, rng))
            continue
        copy = english and rng.random() < 0.03
        written.append(Title(rng.choice(english).text, "duplicate") if copy else titles.title(category, rng))
        english.append(written[-1])
    return written


def _web_video(
    demo: config.Demo, *, split: str, video_id: str, category: Category, fate: str, title: Title
) -> WebVideo:
    rng = stream(demo.seed, "web", video_id)
    start = rng.choice((0.25, 0.5, 0.75))
    end = start + rng.choice((2.75, 3.0))
    seconds = LONG_SECONDS if fate == "too_long" else SECONDS
    size = (48, 36) if fate == "too_long" else rng.choice(SIZES)
    active = (round(start * FPS), round(end * FPS))
    scene = scene_of(category, size, frames=round(seconds * FPS), name=(demo.seed, "web", video_id))
    return WebVideo(video_id, split, category, fate, title, start, end, seconds, replace(scene, active=active))


def scene_of(category: Category, size: tuple[int, int], *, frames: int, name: tuple[object, ...]) -> Scene:
    """A scene with the shape in every frame, seeded by `name`; `size` is (width, height)."""
    return Scene(
        motion=category.motion,
        colour=category.colour,
        shape=category.shape,
        width=size[0],
        height=size[1],
        frames=frames,
        active=(0, frames),
        seed=number(*name, "motion"),
        place_seed=number(*name, "place"),
    )


def kinetics_csv(videos: Iterable[WebVideo], *, split: str) -> str:
    """The list as Kinetics publishes it: LF, labels quoted when they hold a blank, no other quotes."""
    rows = ["label,youtube_id,time_start,time_end,split,is_cc\n"]
    for video in videos:
        if video.split == split:
            rows.append(f'"{video.category.kinetics}",{video.id},{video.start:g},{video.end:g},{split},0\n')
    return "".join(rows)


def site_pages(videos: Iterable[WebVideo]) -> dict[str, dict[str, object]]:
    """What the web site knows of each id: {id: {title, seconds, status, media}}."""
    codes = {"gone": 404, "private": 403}
    return {
        video.id: {
            "title": video.title.text,
            "seconds": video.seconds,
            "status": codes.get(video.fate, 200),
            "media": "" if video.fate in codes else media_name(video.id),
        }
        for video in videos
    }


def media_name(video_id: str) -> str:
    """File name of an id's media. A digest, since ids may differ by case alone and begin with a dash."""
    return hashlib.sha256(video_id.encode()).hexdigest()[:16] + ".mp4"


def truth(videos: Iterable[WebVideo]) -> dict[str, dict[str, str]]:
    """What was meant by each id, for tests and diagnosis only: {id: {split, fate, motion, appearance, title_kind}}."""
    return {
        video.id: {
            "split": video.split,
            "fate": video.fate,
            "motion": video.category.motion,
            "appearance": video.category.appearance,
            "title_kind": video.title.kind,
        }
        for video in videos
    }

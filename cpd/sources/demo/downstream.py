"""The demo's labelled sets, named and split as UCF101 and HMDB51 are.

Traps of the official files are kept: CRLF in UCF101's lists (in some of them, here), test lists without labels,
groups of clips from one recording that never straddle a split, a blank at the end of HMDB51's lines, `#` in names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from cpd import config
from cpd.errors import ConfigError
from cpd.sources.demo import classes
from cpd.sources.demo.classes import Category, number, stream
from cpd.sources.demo.lists import scene_of
from cpd.sources.demo.render import Scene

SPLITS = (1, 2, 3)
UCF_SIZE = (96, 72)
HMDB_SIZES = ((88, 72), (96, 72), (112, 72))  # HMDB51 has one height and several widths


@dataclass(frozen=True)
class FileVideo:
    """A video on disk.

    Attributes:
        name: `Class/file.avi`.
        category: its class.
        folds: membership in splits 1, 2 and 3: "train", "test" or "" (in neither).
        scene: what it shows.
    """

    name: str
    category: Category
    folds: tuple[str, ...]
    scene: Scene


def ucf_videos(demo: config.Demo) -> list[FileVideo]:
    """`BouncingRedBall/v_BouncingRedBall_g01_c01.avi` ...: clips of a group share place and fold.

    Raises:
        ConfigError: fewer than 4 videos a class, which three disjoint test folds and a training part need.
    """
    per_class = _at_least_four(demo.ucf_per_class, key="ucf_per_class")
    clips = 2 if per_class >= 8 else 1  # of one group
    groups = -(-per_class // clips)
    return [
        _ucf_video(demo, category, group=k // clips + 1, clip=k % clips + 1, groups=groups)
        for category in classes.UCF101
        for k in range(per_class)
    ]


def _at_least_four(per_class: int, *, key: str) -> int:
    if per_class < 4:
        raise ConfigError(f"demo.{key}: {per_class} videos a class are too few", hint="give 4 or more")
    return per_class


def _ucf_video(demo: config.Demo, category: Category, *, group: int, clip: int, groups: int) -> FileVideo:
    label = category.ucf101
    name = f"{label}/v_{label}_g{group:02d}_c{clip:02d}.avi"
    frames = stream(demo.seed, name).randint(36, 48)
    scene = scene_of(category, UCF_SIZE, frames=frames, name=(demo.seed, "ucf101", name))
    scene = replace(scene, place_seed=number(demo.seed, "ucf101", label, group))
    share = max(1, groups // 4)  # groups of one test fold; the last groups are in training always
    folds = tuple("test" if (group - 1) // share == split - 1 else "train" for split in SPLITS)
    return FileVideo(name, category, folds, scene)


def hmdb_videos(demo: config.Demo) -> list[FileVideo]:
    """`bounce_red_ball/MotionLab_03_bounce_red_ball_f_cm_np1_fr_med_0.avi` ...: 60 % train, 25 % test, rest unused.

    Raises:
        ConfigError: fewer than 4 videos a class.
    """
    per_class = _at_least_four(demo.hmdb_per_class, key="hmdb_per_class")
    return [_hmdb_video(demo, category, k, per_class) for category in classes.HMDB51 for k in range(per_class)]


def _hmdb_video(demo: config.Demo, category: Category, k: int, per_class: int) -> FileVideo:
    label = category.hmdb51
    recording = "#20_Shapes" if k == 0 else f"MotionLab_{k:02d}"
    name = f"{label}/{recording}_{label}_f_cm_np1_fr_med_{k % 3}.avi"
    rng = stream(demo.seed, name)
    scene = scene_of(category, rng.choice(HMDB_SIZES), frames=rng.randint(30, 42), name=(demo.seed, "hmdb51", name))
    tests, trains = max(1, per_class // 4), max(1, round(0.6 * per_class))
    folds = tuple(_hmdb_fold((k - (split - 1) * tests) % per_class, tests, trains) for split in SPLITS)
    return FileVideo(name, category, folds, replace(scene, shifted=True))


def _hmdb_fold(place: int, tests: int, trains: int) -> str:
    if place < tests:
        return "test"
    return "train" if place < tests + trains else ""


def ucf_lists(videos: Iterable[FileVideo]) -> dict[str, str]:
    """Contents of classInd.txt, trainlist01..03.txt and testlist01..03.txt."""
    videos = list(videos)
    number_of = {category.ucf101: n for n, category in enumerate(_ucf_order(videos), start=1)}
    files = {"classInd.txt": "".join(f"{n} {label}\r\n" for label, n in number_of.items())}
    for split in SPLITS:
        end = "\r\n" if split == 1 else "\n"
        train = [f"{v.name} {number_of[v.category.ucf101]}{end}" for v in videos if v.folds[split - 1] == "train"]
        test = [f"{v.name}\n" for v in videos if v.folds[split - 1] == "test"]
        files[f"trainlist{split:02d}.txt"] = "".join(train)
        files[f"testlist{split:02d}.txt"] = "".join(test)
    return files


def _ucf_order(videos: list[FileVideo]) -> list[Category]:
    return sorted({video.category for video in videos}, key=lambda category: category.ucf101)


def hmdb_lists(videos: Iterable[FileVideo]) -> dict[str, str]:
    """Contents of CLASS_test_split1..3.txt: `file.avi 1 ` is training, 2 test, 0 neither."""
    code = {"train": 1, "test": 2, "": 0}
    files: dict[str, str] = {}
    for video in videos:
        for split in SPLITS:
            name = f"{video.category.hmdb51}_test_split{split}.txt"
            file = video.name.split("/", 1)[1]
            files[name] = files.get(name, "") + f"{file} {code[video.folds[split - 1]]} \n"
    return files


def factors(categories: Iterable[Category], label: Callable[[Category], str]) -> dict[str, dict[str, str]]:
    """{class name: {motion, appearance}} of a set."""
    return {label(c): {"motion": c.motion, "appearance": c.appearance} for c in categories}

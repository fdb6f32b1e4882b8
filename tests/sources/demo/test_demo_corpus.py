import csv
import hashlib
from pathlib import Path

import pytest

from cpd import cli, fileio
from cpd.config import Demo
from cpd.errors import CpdError
from cpd.sources.demo import corpus, lists


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("corpus") / "demo"
    demo = Demo(folder=str(folder), train=15, val=10, ucf_per_class=4, hmdb_per_class=4)
    corpus.build(demo)
    return demo


def test_every_listed_video_is_there_and_no_other(small: Demo) -> None:
    folder = Path(small.folder)
    truth = fileio.read_json(folder / "truth.json")
    listed = []
    for split in ("train", "val"):
        with (folder / f"kinetics_{split}.csv").open() as handle:
            listed += [row["youtube_id"] for row in csv.DictReader(handle)]
    assert sorted(listed) == sorted(truth)
    media = {lists.media_name(i) for i, t in truth.items() if t["fate"] not in ("gone", "private")}
    assert {path.name for path in (folder / "site/media").iterdir()} == media
    split = "".join((folder / f"ucf101/splits/{part}list01.txt").read_text() for part in ("train", "test"))
    on_disk = {str(path.relative_to(folder / "ucf101/videos")) for path in folder.glob("ucf101/videos/*/*")}
    assert {line.split()[0] for line in split.splitlines()} == on_disk
    names = {line.split()[0] for path in folder.glob("hmdb51/splits/*") for line in path.read_text().splitlines()}
    assert names == {path.name for path in folder.glob("hmdb51/videos/*/*")}


def test_summary_tells_counts_and_digests(small: Demo) -> None:
    summary = fileio.read_json(Path(small.folder) / "corpus.json")
    assert summary["settings"]["seed"] == 0
    assert summary["counts"]["train"]["ids"] == 15
    assert summary["counts"]["ucf101"]["videos"] == 48
    found = digests(Path(small.folder))
    assert summary["sha256"].items() <= found.items()
    assert "kinetics_train.csv" in summary["sha256"]
    factors = fileio.read_json(Path(small.folder) / "factors_hmdb51.json")
    assert factors["orbit_red_ball"] == {"motion": "orbit", "appearance": "red ball"}


def test_a_killed_build_resumes_to_the_same_bytes(small: Demo) -> None:
    folder = Path(small.folder)
    before = digests(folder)
    lost = [*sorted(folder.glob("site/media/*"))[:3], *sorted(folder.glob("ucf101/videos/*/*"))[:2]]
    for path in (*lost, folder / "corpus.json", folder / "paragraphs.txt"):
        path.unlink()
    kept = max(folder.glob("hmdb51/videos/*/*"))
    stamp = kept.stat().st_mtime_ns
    corpus.build(small)
    assert digests(folder) == before
    assert kept.stat().st_mtime_ns == stamp


def write_seed(job: corpus.Job) -> None:
    job.path.parent.mkdir(parents=True, exist_ok=True)
    job.path.write_text(str(job.scene.seed))


def test_another_seed_leaves_nothing_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "make", write_seed)
    monkeypatch.setattr(corpus, "INLINE_JOBS", 10_000)
    first = Demo(folder=str(tmp_path / "demo"), train=14, val=9, ucf_per_class=4, hmdb_per_class=4)
    corpus.build(first)
    second = Demo(folder=first.folder, seed=1, train=14, val=9, ucf_per_class=4, hmdb_per_class=4)
    corpus.build(second)
    fresh = Demo(folder=str(tmp_path / "fresh"), seed=1, train=14, val=9, ucf_per_class=4, hmdb_per_class=4)
    corpus.build(fresh)
    assert digests(Path(first.folder)) == digests(Path(fresh.folder))


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ucf101/videos").mkdir(parents=True)
    (tmp_path / "ucf101/videos/mine.avi").write_bytes(b"precious")
    with pytest.raises(CpdError, match="no demo-corpus has made"):
        corpus.build(Demo(folder=str(tmp_path)))
    assert digests(tmp_path) == {"ucf101/videos/mine.avi": hashlib.sha256(b"precious").hexdigest()}


def test_command_needs_a_demo_section(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text(
        "{results: r, data: d, sources: {}, datasets: {}, encoders: {}, experiments: {}, run: [], tables: {}}"
    )
    assert cli.main(["demo-corpus", "--configfile", str(tmp_path / "config.yaml")]) == 2
    assert "no `demo` section" in capsys.readouterr().err

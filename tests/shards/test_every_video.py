"""395 real and odd videos from probe to shard: each ends as a whole sample, or as a row that says why not."""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from cpd.config import Clips
from cpd.fileio import read_jsonl, write_json, write_jsonl
from cpd.shards.keys import sample_key
from cpd.shards.members import read_samples
from cpd.shards.verify import verify_shard
from cpd.shards.write import Row, write_shard
from cpd.video.chunk import Job, cut_chunk
from cpd.video.decode import decode_frames
from tests.video.counter_video import full_decode

VIDEOS = Path(os.environ.get("CPD_SHARED", Path(__file__).parents[2] / "../shared")) / "videos"
CLIPS = Clips(short_side=96)
REFUSED = {
    "odd_found/small__AudioVideoInterleave.avi": ("corrupt", "ffmpeg: Cannot determine format of input"),
    "odd_found/small__Mpeg4.mp4": ("not_video", "no video stream"),
    "odd_found/small__mp4-with-audio.mp4": ("not_video", "no video stream"),
    "odd_found/small__webm.webm": ("corrupt", "0.03 of 1.00 s can be decoded"),
    "odd_made/zero_byte.mp4": ("corrupt", "0 bytes"),
    "odd_made/html_page.mp4": ("not_video", "cannot be opened"),
    "odd_made/cut_moov_missing.mp4": ("corrupt", "cannot be opened"),
    "odd_made/audio_only.mp4": ("not_video", "no video stream"),
}
# Of variable rate: frames at the average rate for as long as the pictures last (6 s; 10 of 24.9 s).
VARIABLE = {"odd_made/vfr.mp4": 90, "odd_made/counter_vfr.mp4": 122}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def shown(frame_HW: NDArray[np.uint8]) -> int:
    """The number that a counter_* frame shows: bits 0 to 11 in three rows of four blocks, below a bar."""
    height, width = frame_HW.shape
    rows, columns = (np.array([0.23, 0.48, 0.68]) * height), (np.arange(4) + 0.5) * width / 4
    bits = frame_HW[rows.astype(int)][:, columns.astype(int)] > 127
    return sum(int(bit) << place for place, bit in enumerate(bits.flatten()))


@pytest.fixture(scope="module")
def manifest() -> list[dict[str, str]]:
    if not (VIDEOS / "manifest.csv").exists():
        pytest.skip(f"{VIDEOS} is not here (set CPD_SHARED)")
    with (VIDEOS / "manifest.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("every")


@pytest.fixture(scope="module")
def rows(manifest: list[dict[str, str]], work: Path) -> dict[str, dict[str, Any]]:
    """What `cpd clips` says about each file."""
    crawled = [
        {"id": v["file"], "status": "ok", "path": str(VIDEOS / v["file"]), "sha256": v["sha256"], "start": 0.0}
        for v in manifest
    ]
    write_jsonl(work / "crawl.jsonl", [{**row, "end": None} for row in crawled])
    job = Job(work / "store", CLIPS, lambda name: sample_key("every", name))
    cut_chunk(work / "crawl.jsonl", work / "clips.jsonl", job)
    return {row["id"]: row for row in read_jsonl(work / "clips.jsonl")}


def test_every_file_has_one_row_with_the_right_fate(
    manifest: list[dict[str, str]], rows: dict[str, dict[str, Any]]
) -> None:
    assert list(rows) == [video["file"] for video in manifest]
    fates = {name: (row["status"], row["reason"]) for name, row in rows.items() if row["status"] != "ok"}
    assert fates.keys() == REFUSED.keys()
    for name, (status, reason) in fates.items():
        assert status == REFUSED[name][0], name
        assert reason.startswith(REFUSED[name][1]), name
    table = Counter((video["source_set"], rows[video["file"]]["status"]) for video in manifest)
    for (source, status), count in sorted(table.items()):
        print(f"{source:18} {status:10} {count:4}")


def test_frames_are_as_many_as_there_are(manifest: list[dict[str, str]], rows: dict[str, dict[str, Any]]) -> None:
    for video in manifest:
        row = rows[video["file"]]
        if row["status"] != "ok":
            continue
        there = min(int(video["decoded_frames"]), round(CLIPS.max_seconds * row["fps"]))
        assert abs(row["frames"] - VARIABLE.get(video["file"], there)) <= 1, video["file"]
        numerator, denominator = map(int, video["avg_frame_rate"].split("/"))
        assert row["fps"] == pytest.approx(numerator / denominator, rel=0.04), video["file"]
        assert min(row["width"], row["height"]) == CLIPS.short_side
        turned = abs(int(video["rotation"] or 0)) == 90
        stored = (int(video["width"]) > int(video["height"])) != turned
        assert video["width"] == video["height"] or stored == (row["width"] > row["height"]), video["file"]


def test_they_make_a_shard_and_counters_are_read_back(work: Path, rows: dict[str, dict[str, Any]]) -> None:
    good = [row for row in rows.values() if row["status"] == "ok"]
    meta = [
        {
            "id": row["id"],
            "key": sample_key("every", row["id"]),
            "source": "every",
            "split": "val",
            **dict.fromkeys(("title", "title_clean", "title_tree", "label"), ""),
            "folds": {},
            **{name: row[name] for name in ("fps", "frames", "sha256")},
        }
        for row in good
    ]
    shard = work / "shards" / "val-0000.tar"
    sidecar = write_shard([Row(Path(row["path"]), one) for row, one in zip(good, meta, strict=True)], shard)
    write_json(shard.with_suffix(".json"), sidecar)
    assert verify_shard(shard)["n"] == 395 - len(REFUSED)  # decodes every clip and counts its frames
    videos = dict(zip(sidecar["keys"], read_samples(shard), strict=True))

    data = shard.read_bytes()
    for sample in list(videos.values())[::6]:  # the few pictures of a training clip, as a whole decode gives them
        video = data[sample.video[0] : sum(sample.video)]
        full = full_decode(video)
        wanted = list(range(len(full) // 3, len(full), 4))[:8]
        for index, frame in zip(wanted, decode_frames(video, wanted), strict=True):
            assert np.array_equal(frame.to_ndarray(), full[index])

    def frames(name: str) -> tuple[list[int], float]:
        offset, size = videos[sample_key("every", name)].video
        video = data[offset : offset + size]
        assert hashlib.sha256(video).hexdigest() == rows[name]["sha256"]
        wanted = range(rows[name]["frames"])
        pictures = [frame.to_ndarray(format="gray") for frame in decode_frames(video, wanted)]
        return [shown(picture) for picture in pictures], rows[name]["fps"]

    assert frames("odd_made/counter_h264_30fps_300f.mp4")[0] == list(range(300))
    numbers, fps = frames("odd_made/counter_vfr.mp4")
    with av.open(str(VIDEOS / "odd_made/counter_vfr.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    for k, number in enumerate(numbers):  # at k / fps, the picture whose turn it was, to half a frame
        assert times[number] - 0.5 / fps < k / fps + 1e-6 < times[number + 1] + 0.5 / fps

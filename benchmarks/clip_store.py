"""The same clips stored in three ways: as `cpd clips` does, as ffmpeg does by default, and as a JPEG a frame."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import ffmpeg
import numpy as np
from numpy.typing import NDArray

from cpd.config import Clips
from cpd.fileio import write_json
from cpd.shards.keys import sample_key
from cpd.shards.write import Row, write_shard
from cpd.video.cut import cut, ffmpeg_binary

QUALITY = 75


def made_up_video(path: Path, *, seed: int, frames: int = 240) -> Path:
    """A texture that drifts and flickers, 10 s at 24 frames a second."""
    rng = np.random.default_rng(seed)
    field = cv2.resize(rng.integers(0, 256, (60, 90, 3), dtype=np.uint8), (720, 480), interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "16", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 480, 320, "yuv420p"
        for k in range(frames):
            picture = np.roll(field, (k, 2 * k), (0, 1))[:320, :480].astype(np.int16)
            picture += rng.integers(-4, 5, picture.shape, dtype=np.int16)
            frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@dataclass
class Store:
    """Clips in memory, the tars beside them, and a lossless master to compare with."""

    folder: Path
    frames: list[int]
    ours: list[bytes]
    default: list[bytes]
    jpegs: list[list[bytes]]
    masters: list[bytes]
    tars: dict[str, Path]

    @classmethod
    def build(cls, folder: Path, videos: list[Path], clips: Clips) -> Store:
        """Encode every video in every way."""
        store = cls(folder, [], [], [], [], [], {name: folder / f"{name}.tar" for name in ("default", "jpegs")})
        rows = []
        for number, video in enumerate(videos):
            path = folder / f"ours-{number}.mp4"
            clip = cut(video, path, start=0, end=None, clips=clips)
            store.frames.append(clip.frames)
            store.ours.append(path.read_bytes())
            size = {"w": clip.width, "h": clip.height, "fps": clip.fps, "seconds": clips.max_seconds}
            store.default.append(_encode(video, folder / "default.mp4", crf=clips.crf, **size))
            store.masters.append(_encode(video, folder / "master.mp4", crf=0, **size))
            store.jpegs.append(_jpegs(store.masters[-1]))
            meta = {"id": f"{number}", "key": sample_key("bench", f"{number}"), "source": "bench", "split": "train"}
            text = dict.fromkeys(("title", "title_clean", "title_tree", "label"), "")
            what = {"fps": clip.fps, "frames": clip.frames, "sha256": clip.sha256}
            rows.append(Row(path, {**meta, **text, **what}))
        store._write(rows)
        return store

    def _write(self, rows: list[Row]) -> None:
        shards = self.folder / "results/sources/bench/shards"
        sidecar = write_shard(rows, shards / "train-0000.tar")
        entry = {"name": "train-0000", "offset": 0, **{name: sidecar[name] for name in ("n", "bytes", "sha256")}}  # type: ignore[literal-required]
        write_json(shards / "index.json", {"train": {"n": sidecar["n"], "shards": [entry]}, "ledger": {}})
        with tarfile.open(self.tars["default"], "w") as default, tarfile.open(self.tars["jpegs"], "w") as jpegs:
            for row, video, pictures in zip(rows, self.default, self.jpegs, strict=True):
                text, key = json.dumps(row.meta).encode(), row.meta["key"]
                _add(default, {f"{key}.json": text, f"{key}.mp4": video})
                members = {f"{key}.{k:04d}.jpg": picture for k, picture in enumerate(pictures)}
                _add(jpegs, {f"{key}.json": text, **members})

    def kilobytes(self, way: str) -> float:
        """Mean size of a stored clip of that way."""
        if way.startswith("ours"):
            sizes = [len(video) for video in self.ours]
        elif way.startswith("default"):
            sizes = [len(video) for video in self.default]
        else:
            sizes = [sum(map(len, pictures)) for pictures in self.jpegs]
        return float(np.mean(sizes)) / 1000

    def quality(self) -> dict[str, float]:
        """Mean luma PSNR against the master, every tenth frame."""
        values: dict[str, list[float]] = {"ours": [], "default H.264": [], f"JPEG q{QUALITY}": []}
        for ours, default, jpegs, master in zip(self.ours, self.default, self.jpegs, self.masters, strict=True):
            true = _luma(master)
            pictures = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in jpegs[::10]]
            # JPEG is of full range: scaled to the master's.
            greys = [cv2.cvtColor(p, cv2.COLOR_BGR2YUV)[..., 0] * (219 / 255) + 16 for p in pictures]
            for name, lumas in zip(values, (_luma(ours), _luma(default), greys), strict=True):
                values[name] += [_psnr(a, b) for a, b in zip(lumas, true, strict=False)]
        return {name: float(np.mean(found)) for name, found in values.items()}


def _encode(video: Path, target: Path, *, crf: int, w: int, h: int, fps: float, seconds: float) -> bytes:
    """libx264 with its defaults (preset medium, key frames up to 250 apart)."""
    stream = ffmpeg.input(str(video), t=seconds)["V:0"].filter("fps", fps=fps)
    stream = stream.filter("scale", w=w, h=h, out_color_matrix="bt601", out_range="tv")
    output = stream.output(str(target), vcodec="libx264", crf=crf, pix_fmt="yuv420p", threads=1, loglevel="error")
    subprocess.run(ffmpeg.compile(output, cmd=ffmpeg_binary(), overwrite_output=True), check=True)
    return target.read_bytes()


def _jpegs(master: bytes) -> list[bytes]:
    with av.open(io.BytesIO(master)) as container:
        pictures = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    return [cv2.imencode(".jpg", p, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes() for p in pictures]


def _luma(video: bytes) -> list[NDArray[np.uint8]]:
    with av.open(io.BytesIO(video)) as container:
        frames = list(container.decode(video=0))[::10]
        return [frame.to_ndarray(format="yuv420p")[: frame.height] for frame in frames]


def _psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-4)))


def _add(tar: tarfile.TarFile, members: dict[str, bytes]) -> None:
    for name, data in members.items():
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))

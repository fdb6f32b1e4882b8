"""How every stage grows: CPU and wall time and peak memory at 1, 2, 4 and 8 times the work, and the exponents.

Every size runs in a process of its own, forked when everything is imported, so that neither Python's start nor what an
earlier size left behind is counted.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch

from benchmarks import demo_models, small_run
from benchmarks.harness import Options, cpu_seconds, line
from benchmarks.memory import peak
from benchmarks.record import Chart, Findings, Target
from benchmarks.titles import made_up_titles
from cpd.config import Clips, Config, Knn, Source, Text, experiment
from cpd.fileio import write_jsonl
from cpd.text.clean import clean_title
from cpd.text.stages import clean_row
from cpd.video.chunk import Job, cut_chunk

TITLE = "Growth: every stage at four sizes"
TIMES = (1, 2, 4, 8)
LINEAR = 1.15  # an exponent above this is not linear
MEMORY_FLOOR = 4e6  # bytes below which a peak is the noise of an allocator

Work = Callable[[], object]
Stage = Callable[[Path, int], Work]  # an empty folder and a size -> what is measured; preparing is not


def run(options: Options) -> Findings:
    """All stages."""
    seconds, clock, memory, targets = [], [], [], []
    for name, (base, unit, stage) in _stages(options).items():
        sizes = [base * times for times in (TIMES[:2] if options.quick else TIMES)]
        found = [_forked(stage, options.work / name.replace(" ", "-") / str(size), size) for size in sizes]
        seconds.append(line(f"{name} ({unit})", sizes, [one.cpu for one in found]))
        clock.append(line(f"{name} ({unit})", sizes, [one.wall for one in found]))
        memory.append(line(f"{name} ({unit})", sizes, [max(one.held, MEMORY_FLOOR) / 1e6 for one in found]))
        targets.append(
            Target(
                what=f"{name}: exponent of CPU time",
                against=f"{sizes[0]} to {sizes[-1]} {unit}",
                values=(seconds[-1].exponent,),
                at_most=LINEAR,
                suffix="",
                note=f"of wall time {clock[-1].exponent:.2f}, of peak memory {memory[-1].exponent:.2f}",
            )
        )
    return Findings(
        title=TITLE,
        about=f"a process a size; peaks under {MEMORY_FLOOR / 1e6:.0f} MB are drawn as that",
        targets=tuple(targets),
        charts=(
            Chart(title="CPU time of a stage", x="items", y="CPU seconds", lines=tuple(seconds)),
            Chart(title="Wall time of a stage", x="items", y="seconds", lines=tuple(clock)),
            Chart(title="Peak memory of a stage", x="items", y="MB above the start", lines=tuple(memory)),
        ),
        notes=(
            "Training grows with the pairs while the network outweighs the loss: the exact softmax of an epoch costs "
            "8 N^2 d operations, which for 210,000 pairs is under 1 % of R34's (see Losses). kNN grows with the "
            "gallery; queries are 200 throughout.",
        ),
    )


class Cost(msgspec.Struct, frozen=True):
    """CPU and wall seconds of a stage, and its peak bytes."""

    cpu: float
    wall: float
    held: int


def _cost(work: Work) -> Cost:
    clocks: list[float] = []

    def timed() -> None:
        start = time.perf_counter()
        clocks.extend((cpu_seconds(work), time.perf_counter() - start))

    held = peak(timed)
    cpu, wall = clocks
    return Cost(cpu, wall, held)


def _forked(stage: Stage, folder: Path, size: int) -> Cost:
    """What a stage costs at some size, in a child."""
    folder.mkdir(parents=True)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(SystemExit):
            os.write(writing, msgspec.json.encode(_cost(stage(folder, size))))
            status = 0
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"{stage.__name__} failed at {size}"
    return msgspec.json.decode(told, type=Cost)


def _stages(options: Options) -> dict[str, tuple[int, str, Stage]]:
    """Stage -> smallest size, its unit, and the stage."""
    clip = small_run.one_clip(options.work / "clip")
    models = demo_models.stanza(options)
    few = options.quick

    def parsing(folder: Path, n: int) -> Work:
        return _parsing(models, n)

    def shards(folder: Path, n: int) -> Work:
        return lambda: small_run.write_pairs(folder, clip, {"train": n})

    def training(folder: Path, n: int) -> Work:
        return _training(small_run.write_run(folder, clip, n=n), folder)

    def features(folder: Path, n: int) -> Work:
        return _features(small_run.write_run(folder, clip, n=n), folder)

    def clips(folder: Path, n: int) -> Work:
        return _clips(options.work / "clip" / "source.mp4", folder, n)

    return {
        "planning": (500 if few else 30_000, "ids", _planning),
        "title-clean": (50 if few else 2000, "titles", _cleaning),
        "title-tree": (8 if few else 100, "titles", parsing),
        "clips": (2 if few else 6, "videos", clips),
        "shards": (16 if few else 500, "samples", shards),
        "training, an epoch": (32 if few else 96, "pairs", training),
        "features": (8 if few else 64, "videos", features),
        "kNN": (500 if few else 20_000, "gallery rows", _neighbours),
    }


def _planning(folder: Path, n: int) -> Work:
    """Up to the 240,000 ids of Kinetics-400; under 10,000 most of it fits into memory that is held anyway."""
    from cpd.sources.plan import write_plan

    listed = folder / "train.csv"
    rows = [f"class {k % 400},{k:011d},0,10,train" for k in range(n)]
    listed.write_text("\n".join(["label,youtube_id,time_start,time_end,split", *rows]) + "\n")
    source = Source(kind="kinetics", lists={"train": str(listed)}, pairs={"train": n}, url="http://127.0.0.1/{id}")
    config = _config(folder, source)
    gc.collect()
    gc.freeze()  # a full sweep, once the new objects are a quarter of the old, would walk over torch's as well
    return lambda: write_plan(config, "pairs")


def _config(folder: Path, source: Source) -> Config:
    empty: dict[str, object] = {"datasets": {}, "encoders": {}, "experiments": {}, "run": [], "tables": {}}
    places = {"results": str(folder / "results"), "data": str(folder / "data")}
    sources = {"pairs": msgspec.to_builtins(source)}
    return msgspec.convert({**places, **empty, "sources": sources}, Config)


def _cleaning(folder: Path, n: int) -> Work:
    titles = made_up_titles(n)
    clean_row({"id": "0", "title": "a word list is read once"}, Text())
    rows = [{"id": f"{k}", "title": title} for k, title in enumerate(titles)]
    return lambda: write_jsonl(folder / "clean.jsonl", [clean_row(row, Text()) for row in rows])


def _parsing(models: Path, n: int) -> Work:
    from cpd.text.tree import TreeParser

    titles = [text for text in map(clean_title, made_up_titles(2 * n)) if text][:n]
    parser = TreeParser(Text(pos_model=str(models / "pos.pt"), depparse_model=str(models / "depparse.pt")))
    parser.parse(titles[:2])
    return lambda: parser.parse(titles)


def _clips(source: Path, folder: Path, n: int) -> Work:
    """The media are one file under many names: each is cut and looked at on its own."""
    path = folder / "media.mp4"
    path.write_bytes(source.read_bytes())
    rows = [
        {"id": f"{k}", "status": "ok", "path": str(path), "start": 0.0, "end": None, "sha256": f"{k}"} for k in range(n)
    ]
    write_jsonl(folder / "crawl.jsonl", rows)
    job = Job(
        folder=folder / "clips", clips=Clips(short_side=small_run.SIDE), key_of=lambda identity: f"{int(identity):020x}"
    )
    return lambda: cut_chunk(folder / "crawl.jsonl", folder / "clips.jsonl", job)


def _training(config: Config, folder: Path) -> Work:
    from cpd.pretrain import pretrain

    return lambda: pretrain(config, small_run.RUN, seed=0, folder=folder / "results/pretrain" / small_run.RUN)


def _features(config: Config, folder: Path) -> Work:
    """Of a network with its initial weights."""
    from cpd.engine.distributed import World
    from cpd.evaluate.features import extract
    from cpd.models.checkpoint import save_run
    from cpd.pretrain.run import build_model

    exp = experiment(config, small_run.RUN)
    model = build_model(config, exp, seed=0, world=World())
    save_run(folder / "results/pretrain" / small_run.RUN, model, exp, config.encoders[exp.encoder])
    return lambda: extract(config, small_run.RUN, source="pairs", split="train")


def _neighbours(folder: Path, n: int) -> Work:
    from cpd.evaluate.knn import classify

    train_ND, test_QD, labels = torch.randn(n, 256), torch.randn(200, 256), [f"{k % 400}" for k in range(n)]
    return lambda: classify(train_ND, labels, test_QD, Knn())

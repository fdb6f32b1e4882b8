"""A plan as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cpd.plan.build import ExperimentPlan, Plan, SourcePlan, Total

EXPERIMENTS = (
    "experiment", "runs", "GPUs", "train GPU-h", "evaluate GPU-h", "checkpoints GB", "weights GB", "banks GB",
    "features GB", "jobs",
)  # fmt: skip
DATA = (
    "needs by itself", "downloads", "download GB", "crawl h", "videos GB", "shards GB", "jobs but for sources",
)  # fmt: skip
SOURCES = ("source", "ids", "downloads", "download GB", "crawl h", "videos GB", "shards GB", "jobs")


def as_text(plan: Plan) -> str:
    """Experiments, sources, jobs by rule, the total, and what was assumed."""
    parts = [
        f"{len(plan.tables)} tables: {', '.join(plan.tables)}",
        _columns(EXPERIMENTS, [_experiment(one) for one in plan.experiments], words={0}),
        _columns(DATA, [_data(one) for one in plan.experiments], words={0, 6}),
        _columns(SOURCES, [_source(one) for one in plan.sources], words={0}),
        _columns(("rule", "jobs"), _jobs(plan.total.jobs), words={0}),
        _total(plan.total),
        assumed(plan),
    ]
    missing = _missing(plan)
    return "\n\n".join([*parts, *([missing] if missing else [])])


def _experiment(one: ExperimentPlan) -> tuple[str, ...]:
    sizes = (one.checkpoint_bytes, one.weight_bytes, one.bank_bytes, one.feature_bytes)
    return (
        one.experiment,
        str(one.runs),
        str(one.gpus),
        number(one.pretrain_gpu_hours),
        number(one.evaluate_gpu_hours),
        *(number(size / 1e9) for size in sizes),
        str(sum(one.jobs.values())),
    )


def _data(one: ExperimentPlan) -> tuple[str, ...]:
    sizes = (one.download_bytes / 1e9, one.crawl_hours, one.video_bytes / 1e9, one.shard_bytes / 1e9)
    jobs = ", ".join(f"{rule} {count}" for rule, count in one.jobs.items())
    return (f"{one.experiment} ({', '.join(one.sources)})", f"{one.downloads:,}", *map(number, sizes), jobs)


def _source(one: SourcePlan) -> tuple[str, ...]:
    sizes = (one.download_bytes / 1e9, one.crawl_hours, one.video_bytes / 1e9, one.shard_bytes / 1e9)
    return (one.source, f"{one.ids:,}", f"{one.downloads:,}", *map(number, sizes), str(sum(one.jobs.values())))


def _jobs(jobs: dict[str, int]) -> list[tuple[str, ...]]:
    return [*((rule, str(count)) for rule, count in sorted(jobs.items())), ("total", str(sum(jobs.values())))]


def _total(total: Total) -> str:
    trained, measured = total.pretrain_gpu_hours, total.evaluate_gpu_hours
    return (
        f"total: {number(trained + measured)} GPU-hours ({number(trained)} training, {number(measured)} evaluation),"
        f" {number(total.storage_bytes / 1e9)} GB on disk, {total.downloads:,} downloads "
        f"({number(total.download_bytes / 1e9)} GB), {number(total.crawl_hours)} CPU-hours of crawl, "
        f"{sum(total.jobs.values()):,} jobs; sources that several experiments share are counted once"
    )


def assumed(plan: Plan) -> str:
    """What the numbers rest on, in one sentence."""
    a = plan.assumptions
    return (
        f"assumed (`plan:` of the config): {a.gpu_tflops * a.utilisation:g} TFLOP/s sustained by a GPU "
        f"({a.gpu_tflops:g} x {a.utilisation:g}), all epochs of every stage, {a.ids_per_hour:g} ids an hour, "
        f"{a.ok_share:.0%} of crawled ids still there, {a.media_mb:g} MB a video, {a.clip_mb:g} MB a clip"
    )


def _missing(plan: Plan) -> str:
    """What a person must still put there, and for what."""
    wanted = [(path, f"source {one.source}") for one in plan.sources for path in one.missing]
    wanted += [(path, one.experiment) for one in plan.experiments for path in one.missing]
    users: dict[str, list[str]] = {}
    for path, user in wanted:
        users.setdefault(path, []).append(user)
    lines = [f"  {path}  ({', '.join(names)})" for path, names in users.items()]
    return "\n".join(["to be put there by hand (docs/data.md, docs/encoders.md):", *lines]) if lines else ""


def number(value: float) -> str:
    """Three digits, and thousands apart."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _columns(head: tuple[str, ...], rows: list[tuple[str, ...]], *, words: set[int]) -> str:
    """Aligned columns; those of `words` to the left."""
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
    return "\n".join(lines)

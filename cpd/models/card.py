"""The model card of an exported network: what was trained, on what, how to use it, and the numbers that files hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpd.errors import CpdError
from cpd.fileio import read_json
from cpd.models.card_kind import LICENCES, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cpd.config import Experiment
    from cpd.models.card_kind import Kind
    from cpd.models.checkpoint import RunConfig

MAIN = re.compile(r"(^| )(top\d+|std|r\d+|median_rank)$")
HEAD = """# {name}

{what}
Written by `cpd export`; every number below comes from a file of the run.

```python
import cpd
embedder = cpd.load("{folder}")
{example}
```

{values}
"""
WITH_TEXT = 'emb_D, res5_F = embedder.embed_file("video.mp4"); t_ND = embedder.embed_sentences(["a person juggling"])'
VIDEO_ONLY = 'emb_D, res5_F = embedder.embed_file("video.mp4")'
POOLED_ONLY = 'res5_F = embedder.embed_file("video.mp4")[1]'
POOLED = "`res5_F` ({features} values) is the pooled feature for classifiers."
COMPARED = "`emb_D` ({dim} values, unit length) and the rows of `t_ND` compare by their dot product; " + POOLED
AMONG_VIDEOS = "`emb_D` ({dim} values, unit length) compares with that of other videos alone; " + POOLED


def model_card(
    run: RunConfig, *, name: str, folder: str, run_folder: Path, results: Path | None, weights_sha256: str
) -> str:
    """The card as Markdown.

    Args:
        run: config.json of the run.
        name: of the run.
        folder: how the example names the exported folder.
        run_folder: its metrics.json and import.json are read where they are there.
        results: root of the results, whose `eval/NAME/` is read; None for none.
        weights_sha256: of the run's model.safetensors; results of other weights are left out, and counted.
    """
    origin = _origin(run_folder)
    kind = kind_of(run.experiment, absent=None if origin is None else origin["absent"])
    parts = [
        _head(run, kind, name=name, folder=folder),
        _training(run, run_folder, origin),
        _numbers(name, results, weights_sha256),
        _limits(run.experiment, kind, imported=origin is not None),
    ]
    return "".join(parts)


def _head(run: RunConfig, kind: Kind, *, name: str, folder: str) -> str:
    if not kind.why_not:
        example, values = WITH_TEXT, COMPARED
    elif kind.heads:
        example, values = VIDEO_ONLY, f"{AMONG_VIDEOS}\n{kind.why_not}"
    else:
        example, values = POOLED_ONLY, f"{POOLED}\n{kind.why_not}"
    values = values.format(dim=run.dim, features=run.feature_dim)
    return HEAD.format(name=name, folder=folder, what=kind.what, example=example, values=values)


def _limits(exp: Experiment, kind: Kind, *, imported: bool) -> str:
    trained = exp.objective.name != "none" and not imported
    return "\n".join(["", "## Limits", "", kind.learnt, *([LICENCES] if trained else []), ""])


def _training(run: RunConfig, folder: Path, origin: dict[str, Any] | None) -> str:
    exp = run.experiment
    rows = {
        "video tower": _tower(exp),
        "text tower": f"`{run.encoder.path}` ({run.encoder.kind}, {run.text_dim} values, "
        f"at most {run.encoder.max_tokens} tokens)",
        **(_taught(exp) if origin is None else _imported(origin)),
        "clips": f"{exp.views.frames} frames, stride {exp.views.stride}, {exp.views.size} pixels",
        **_history(folder, exp),
    }
    lines = "".join(f"| {key} | {value} |\n" for key, value in rows.items())
    return f"\n## What was trained, on what\n\n| | |\n|---|---|\n{lines}"


def _taught(exp: Experiment) -> dict[str, str]:
    """What was trained here, on what; of what took no part, nothing."""
    if exp.objective.name == "none":
        return {"objective": _objective(exp)}
    shuffled = ", shuffled over the videos (a control)" if exp.shuffle_titles else ""
    rho = exp.objective.rho
    of = "" if rho is None else f" videos of {rho.views} clips"
    return {
        **({"titles": f"{exp.title}{shuffled}"} if exp.objective.learns_from_titles else {}),
        "sources": ", ".join(exp.sources),
        "objective": _objective(exp),
        **{f"stage {n}": _stage(stage) for n, stage in enumerate(exp.stages, start=1)},
        "batch": f"{exp.train.batch}{of}, weight decay {exp.train.weight_decay:g}, {exp.train.precision}",
    }


def _imported(origin: dict[str, Any]) -> dict[str, str]:
    held = f"`{origin['file']}` (layout {origin['layout']}, SHA-256 {origin['sha256']})"
    lacking = ", ".join(origin["absent"]) or "nothing"
    return {"objective": "none: nothing was trained here", "imported": f"{held}; not in it: {lacking}"}


def _origin(folder: Path) -> dict[str, Any] | None:
    """What import.json says of a run that was imported."""
    path = folder / "import.json"
    origin: dict[str, Any] | None = read_json(path) if path.exists() else None
    return origin


def _tower(exp: Experiment) -> str:
    backbone = exp.backbone
    kind = f"slow 3D ResNet-{backbone.depth}" if backbone.temporal else f"ResNet-{backbone.depth} frame by frame"
    began = f", begun with `{backbone.weights}`" if backbone.weights else ""
    return f"{kind}, width {backbone.width}, shortcut {backbone.shortcut}{began}"


def _objective(exp: Experiment) -> str:
    objective = exp.objective
    said = {
        "none": "none: nothing was trained here",
        "supervised": "supervised: cross-entropy on labels; heads and text tower were not trained",
        "cross_pair": f"cross_pair ({objective.estimator}), tau {objective.tau:g}",
        "self_instance": f"self_instance, tau {objective.tau:g}",
        "ranking": f"ranking, delta {objective.delta:g}",
        "info_nce": f"info_nce, tau {objective.tau:g}",
    }
    rho = objective.rho
    clips = "" if rho is None else f"{rho.method}, rho {rho.clips}"
    said["persistency"] = f"persistency ({clips}): clips of one video alike; heads and text tower were not trained"
    beside = f", and persistency ({clips})" if clips and objective.name != "persistency" else ""
    return said.get(objective.name, objective.name) + beside


def _stage(stage: Any) -> str:
    language = "frozen" if stage.lr_text is None else f"lr {stage.lr_text:g}"
    return f"at most {stage.epochs} epochs, lr {stage.lr:g}, language model {language}"


def _history(folder: Path, exp: Experiment) -> dict[str, str]:
    """What metrics.json says; with persistency it counts videos, each of several clips, as clips."""
    if not (folder / "metrics.json").exists():
        return {}
    metrics = read_json(folder / "metrics.json")
    words = {key: key for key in ("instances", "epochs", "steps", "clips")}
    words["clips"] = "clips" if exp.objective.rho is None else "videos"
    counts = [f"{metrics[key]} {word}" for key, word in words.items() if metrics.get(key)]
    return {"training": ", ".join(counts) or "none"}


def _numbers(name: str, results: Path | None, weights_sha256: str) -> str:
    found = [] if results is None else sorted((results / "eval" / name).glob("*/*.json"))
    files = [path for path in found if not path.name.endswith(".predictions.json")]
    rows: list[str] = []
    others = 0
    for path in files:
        result = read_json(path)
        if weights_sha256 in _inputs(path, result).values():
            rows.append(_row(result))
        else:
            others += 1
    note = f"\n{others} result files of other weights are left out.\n" if others else ""
    if not rows:
        return f"\n## Numbers\n\nNo result files were found for these weights.\n{note}"
    table = "| protocol | dataset | split | numbers | n | views |\n|---|---|---|---|---:|---|\n"
    return f"\n## Numbers\n\n{table}{''.join(rows)}{note}"


def _inputs(path: Path, result: Any) -> dict[str, str]:
    try:
        inputs: dict[str, str] = result["inputs"]
    except (TypeError, KeyError):
        raise CpdError(f"{path}: not a result file", hint="delete it, or run its protocol again") from None
    return inputs


def _row(result: dict[str, Any]) -> str:
    """One line a result: its main numbers; chance, factors and counts stay in the file."""
    main = [(key, value) for key, value in _flat(result["values"].items()) if MAIN.search(key) and "chance" not in key]
    numbers = ", ".join(f"{key} {value:.2f}" for key, value in main)
    views = result["views"]
    seen = f"{views['clips']} x {views['crops']}, {views['frames']} frames, {views['size']} pixels" if views else ""
    where = f"{result['protocol']} | {result['dataset']} | {result['split']}"
    return f"| {where} | {numbers} | {result['n']} | {seen} |\n"


def _flat(items: Iterable[tuple[str, Any]], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in items:
        if isinstance(value, dict):
            yield from _flat(value.items(), f"{prefix}{key} ")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{prefix}{key}", float(value)

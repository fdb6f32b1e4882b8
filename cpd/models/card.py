"""The model card of an exported network: what was trained, on what, how to use it, and the numbers that files hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpd.errors import CpdError
from cpd.fileio import read_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cpd.config import Experiment
    from cpd.models.checkpoint import RunConfig

MAIN = re.compile(r"(^| )(top\d+|std|r\d+|median_rank)$")
HEAD = """# {name}

A network of [CPD](https://arxiv.org/abs/2001.05691): a video tower and a text tower that meet on one unit sphere.
Written by `cpd export`; every number below comes from a file of the run.

```python
import cpd
embedder = cpd.load("{folder}")
emb_D, res5_F = embedder.embed_file("video.mp4"); t_ND = embedder.embed_sentences(["a person juggling"])
```

`emb_D` ({dim} values, unit length) and the rows of `t_ND` compare by their dot product; `res5_F` ({features} values) is
the pooled feature for classifiers.
"""
LIMITS = """
## Limits

The weights learnt from titles that people wrote for public videos, and carry what those titles say and leave out.
Check the licences of the training videos before you pass the weights on: this card does not settle them.
"""


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
    head = HEAD.format(name=name, folder=folder, dim=run.dim, features=run.feature_dim)
    parts = [head, _training(run, run_folder), _numbers(name, results, weights_sha256), LIMITS]
    return "".join(parts)


def _training(run: RunConfig, folder: Path) -> str:
    exp = run.experiment
    rows = {
        "video tower": _tower(exp),
        "text tower": f"`{run.encoder.path}` ({run.encoder.kind}, {run.text_dim} values, "
        f"at most {run.encoder.max_tokens} tokens)",
        "titles": f"{exp.title}{', shuffled over the videos (a control)' if exp.shuffle_titles else ''}",
        "sources": ", ".join(exp.sources),
        "objective": _objective(exp),
        **{f"stage {n}": _stage(stage) for n, stage in enumerate(exp.stages, start=1)},
        "batch": f"{exp.train.batch}, weight decay {exp.train.weight_decay:g}, {exp.train.precision}",
        "clips": f"{exp.views.frames} frames, stride {exp.views.stride}, {exp.views.size} pixels",
        **_history(folder),
    }
    lines = "".join(f"| {key} | {value} |\n" for key, value in rows.items())
    return f"\n## What was trained, on what\n\n| | |\n|---|---|\n{lines}"


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
        "ranking": f"ranking, delta {objective.delta:g}",
    }
    rho = objective.rho
    clips = "" if rho is None else f"{rho.method}, rho {rho.clips}"
    said["persistency"] = f"persistency ({clips}): clips of one video alike; heads and text tower were not trained"
    beside = f", and persistency ({clips})" if clips and objective.name != "persistency" else ""
    return said.get(objective.name, f"{objective.name}, tau {objective.tau:g}") + beside


def _stage(stage: Any) -> str:
    language = "frozen" if stage.lr_text is None else f"lr {stage.lr_text:g}"
    return f"at most {stage.epochs} epochs, lr {stage.lr:g}, language model {language}"


def _history(folder: Path) -> dict[str, str]:
    """What metrics.json and import.json say."""
    rows = {}
    if (folder / "metrics.json").exists():
        metrics = read_json(folder / "metrics.json")
        counts = [f"{metrics[key]} {key}" for key in ("instances", "epochs", "steps", "clips") if key in metrics]
        rows["training"] = ", ".join(counts) or "none"
    if (folder / "import.json").exists():
        origin = read_json(folder / "import.json")
        rows["imported"] = (
            f"`{origin['file']}` (layout {origin['layout']}, SHA-256 {origin['sha256']}); "
            f"not in it: {', '.join(origin['absent']) or 'nothing'}"
        )
    return rows


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

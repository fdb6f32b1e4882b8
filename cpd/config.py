"""The typed config: every key of config.yaml, its type and its default.

`load_config` reads one or more YAML files (later ones overlay earlier ones: mappings merge, lists and scalars
replace, as Snakemake's `--configfile` does) and refuses what YAML lets through: unknown keys, duplicate keys and
numbers that YAML 1.1 reads as strings (`1e-4`).
"""

from __future__ import annotations

import difflib
import math
import re
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import yaml

from cpd.errors import ConfigError

T = TypeVar("T", bound=msgspec.Struct)


def _require(holds: bool, key: str, message: str) -> None:
    """For `__post_init__`: msgspec turns the ValueError into a message with the path."""
    if not holds:
        raise ValueError(f"{key} {message}")


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping whose unknown keys are errors."""


class Source(Strict, frozen=True, kw_only=True):
    """Where pairs come from.

    Attributes:
        kind: reader of the official list (see `cpd/sources/`).
        lists: list file(s) by split; for `ucf101` and `hmdb51` {all: folder of the split files}.
        videos: folder with the media, for kinds whose media are on disk.
        url: page address of an id, for kinds that are crawled; `{id}` is replaced, and `{port}` by the port of `site`.
        site: folder to serve on loopback while crawling (the demo's web site).
        pairs: number of ids by split: it fixes the chunks, so that the plan is known before any job runs.
        chunk_size: ids per chunk; one job per chunk and stage, one shard per chunk.
        text: whether titles are cleaned and parsed (false for sources that only carry class labels).
        factors: json {class: {factor: value}}, to report parts of a class apart (motion, appearance).
    """

    kind: Literal["kinetics", "titles", "folder", "lsmdc", "ucf101", "hmdb51"]
    lists: dict[str, str]
    pairs: dict[str, int]
    videos: str | None = None
    url: str | None = None
    site: str | None = None
    chunk_size: int = 500
    text: bool = True
    factors: str | None = None

    def __post_init__(self) -> None:
        _require(self.chunk_size > 0, "chunk_size", "must be at least 1")
        _require(set(self.lists) == set(self.pairs), "pairs", f"needs the splits of lists: {sorted(self.lists)}")
        _require(all(n > 0 for n in self.pairs.values()), "pairs", "every split needs at least 1 id")


class Crawl(Strict, frozen=True, kw_only=True):
    """How ids are fetched with yt-dlp. Seconds, bytes and pixels throughout."""

    cookies: str | None = None
    proxy: str | None = None
    rate_limit: int | None = None
    sleep: float = 5.0
    retries: int = 3
    backoff: float = 2.0
    timeout: float = 30.0
    max_height: int = 480
    max_duration: float = 1200.0
    max_bytes: int = 500_000_000
    sections: bool = True
    min_ok_ratio: float = 0.0

    def __post_init__(self) -> None:
        _require(self.retries >= 0, "retries", "must be 0 or more")
        _require(0 <= self.min_ok_ratio <= 1, "min_ok_ratio", "must be between 0 and 1")


class Clips(Strict, frozen=True, kw_only=True):
    """How a clip is cut and encoded, and what is refused before decoding. Seconds and pixels throughout."""

    short_side: int = 256
    max_seconds: float = 10.0
    crf: int = 23
    preset: str = "veryfast"
    gop: int = 32
    min_frames: int = 1
    max_source_pixels: int = 8192 * 4320
    max_source_seconds: float = 14_400.0
    timeout: float = 300.0


class Text(Strict, frozen=True, kw_only=True):
    """title-clean and title-tree.

    Attributes:
        stanza_dir: folder of stanza models; `download` fetches stanza's English package into it when true.
        pos_model: path of an own tagger (with `depparse_model`), instead of the package.
        proper_nouns: whether title-tree keeps proper nouns (taggers call most Title Case nouns so).
        english_margin: smallest mean over words of zipf(en) - max zipf(other languages).
        max_chars: longer titles are cut, and flagged.
    """

    stanza_dir: str = "data/stanza"
    download: bool = False
    pos_model: str | None = None
    depparse_model: str | None = None
    proper_nouns: bool = True
    english_margin: float = -0.5
    max_chars: int = 1000
    batch_size: int = 5000


class Encoder(Strict, frozen=True, kw_only=True):
    """A text encoder: a folder or hub name in transformers' format."""

    path: str
    max_tokens: int = 64


class Backbone(Strict, frozen=True, kw_only=True):
    """Slow 3D ResNet (PAPER section 1)."""

    depth: Literal[10, 18, 34, 50] = 34
    width: int = 64


class Heads(Strict, frozen=True, kw_only=True):
    """Projection heads: video Linear(feat, dim); text Linear(., hidden)-BN-ReLU-Linear(hidden, dim)."""

    dim: int = 256
    hidden: int = 512


class Objective(Strict, frozen=True, kw_only=True):
    """What is minimised (equations 2 to 5).

    Attributes:
        name: `none` keeps the random initialisation.
        estimator: exact softmax over all N pairs, or NCE with `noise` samples per anchor.
        tau: temperature.
        noise: NCE noise samples per anchor (m).
        log_z: NCE's normaliser: of the first batch, or an exponential moving average.
        delta: margin of the ranking loss.
        momentum: share of the old row when a bank row is updated.
    """

    name: Literal["cross_pair", "self_instance", "ranking", "none"] = "cross_pair"
    estimator: Literal["exact", "nce"] = "exact"
    tau: float = 0.07
    noise: int = 16392
    log_z: Literal["first_batch", "ema"] = "first_batch"
    delta: float = 0.2
    momentum: float = 0.5

    def __post_init__(self) -> None:
        _require(self.tau > 0, "tau", "must be positive")
        _require(0 <= self.momentum < 1, "momentum", "must be in [0, 1)")


class Stage(Strict, frozen=True, kw_only=True):
    """One stage of the curriculum.

    Attributes:
        epochs: at most this many.
        patience: end the stage after this many epochs without a better validation retrieval (null: never).
        lr: learning rate of everything but the language model.
        lr_text: learning rate of the language model; null freezes it (eval mode, features computed once).
    """

    epochs: int
    lr: float
    lr_text: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        _require(self.epochs > 0, "epochs", "must be at least 1")
        _require(self.lr > 0, "lr", "must be positive")


class Views(Strict, frozen=True, kw_only=True):
    """How clips are sampled: `frames` with `stride`, scaled to `size`, `scale` jitter in training."""

    frames: int = 8
    stride: int = 4
    size: int = 112
    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    flip: bool = True
    jitter: float = 0.4


class Train(Strict, frozen=True, kw_only=True):
    """Optimisation. `batch` is global: it is kept whatever the number of ranks, by accumulation."""

    batch: int = 512
    per_rank: int = 64
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup_epochs: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    clip_grad: float | None = None
    sync_bn: bool = False
    workers: int | None = None
    checkpoint_minutes: float = 10.0
    keep_checkpoints: int = 2
    validate_every: int = 1

    def __post_init__(self) -> None:
        _require(self.batch > 0 and self.per_rank > 0, "batch", "and per_rank must be at least 1")
        _require(
            self.keep_checkpoints >= 2, "keep_checkpoints", "must be at least 2, so that a torn one has a predecessor"
        )


class Validation(Strict, frozen=True, kw_only=True):
    """Held-out text-video retrieval: the first `n` pairs of a source's split (deterministic centre views)."""

    source: str = "kinetics"
    split: str = "val"
    n: int = 1000


class Experiment(Strict, frozen=True, kw_only=True):
    """One row of a table: what is trained, on what, and how."""

    sources: tuple[str, ...] = ("kinetics",)
    title: Literal["title", "title_clean", "title_tree"] = "title_clean"
    shuffle_titles: bool = False
    encoder: str = "distilbert"
    backbone: Backbone = Backbone()
    heads: Heads = Heads()
    objective: Objective = Objective()
    stages: tuple[Stage, ...] = ()
    views: Views = Views()
    train: Train = Train()
    validation: Validation = Validation()
    gpus: int = 8

    def __post_init__(self) -> None:
        trains = self.objective.name != "none"
        _require(trains == bool(self.stages), "stages", "are needed by every objective but `none`, which takes none")


class Dataset(Strict, frozen=True, kw_only=True):
    """A labelled downstream set: which shards train it and which test it.

    With `folds` (UCF101, HMDB51) both come from the split `train` of `source` (usually "all"), told apart by the
    official list of each fold; without, `train` and `test` name two splits.
    """

    source: str
    train: str
    test: str
    folds: tuple[int, ...] = ()
    fractions: tuple[float, ...] = ()


class FeatureViews(Strict, frozen=True, kw_only=True):
    """Test views: `clips` per video (and `crops` per clip), `frames` with `stride`, short side `size`."""

    clips: int = 10
    crops: int = 1
    frames: int = 8
    stride: int = 4
    size: int = 128


class Knn(Strict, frozen=True, kw_only=True):
    """Nearest neighbours on frozen features."""

    k: int = 25
    vote: Literal["majority", "weighted"] = "majority"
    tau: float = 0.07


class Linear(Strict, frozen=True, kw_only=True):
    """Linear probe: BatchNorm + fully connected, Adam, lr / 10 every `step` epochs."""

    epochs: int = 30
    lr: float = 1e-3
    step: int = 10
    batch: int = 256


class Finetune(Strict, frozen=True, kw_only=True):
    """Fine-tuning: new fc, Adam, lr / 10 twice when validation saturates (or at `milestones`)."""

    epochs: int = 60
    lr: float = 1e-4
    weight_decay: float = 5e-4
    batch: int = 64
    milestones: tuple[int, ...] = (30, 45)
    views: Views = Views(frames=16)
    test: FeatureViews = FeatureViews(crops=3, frames=16)
    workers: int | None = None


class ZeroShot(Strict, frozen=True, kw_only=True):
    """Class names as text. `draws` random subsets of each of `subsets` classes, besides all classes."""

    subsets: tuple[int, ...] = (20, 50, 100)
    draws: int = 10


class Retrieval(Strict, frozen=True, kw_only=True):
    """Text-video retrieval on held-out pairs."""

    n: int = 1000


class Evaluate(Strict, frozen=True, kw_only=True):
    """Settings of the protocols (PAPER section 2)."""

    features: FeatureViews = FeatureViews()
    knn: Knn = Knn()
    linear: Linear = Linear()
    finetune: Finetune = Finetune()
    zeroshot: ZeroShot = ZeroShot()
    retrieval: Retrieval = Retrieval()


class Column(Strict, frozen=True, kw_only=True):
    """A measured column of a table: which value of which result file(s).

    `splits` lists the folds (or fractions) averaged; empty takes the dataset's only one. `metric` is a path into
    the result's values, as `res5.top1`.
    """

    name: str
    protocol: Literal["knn", "linear", "finetune", "zeroshot", "retrieval"]
    dataset: str
    metric: str
    splits: tuple[str, ...] = ()


class Row(Strict, frozen=True, kw_only=True):
    """A row of a table: an experiment, or a published method we do not run (`external` says what it needs).

    `feature` replaces `{feature}` in the metric of the columns; `columns`, when given, are the only ones filled.
    """

    name: str
    run: str | None = None
    external: str | None = None
    feature: str = ""
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require((self.run is None) != (self.external is None), "run", "or external is needed, one of the two")


class Table(Strict, frozen=True, kw_only=True):
    """One table of the paper: rows are experiments, columns are metrics of result files."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""


class Demo(Strict, frozen=True, kw_only=True):
    """The generated corpus of config.demo.yaml (`cpd/sources/demo/`).

    Attributes:
        folder: where lists, web site, downstream sets and treebank are written.
        seed: of everything that is generated.
        train: ids of the pretraining list, bad ones included; `val` likewise.
        ucf_per_class: videos per class of the UCF101-like set; `hmdb_per_class` likewise.
        stanza_steps: training steps of the small tagger and parser.
        encoder_steps: training steps of the small DistilBERT; `encoder_dim` and `encoder_layers` its size.
    """

    folder: str = "data/demo"
    seed: int = 0
    train: int = 480
    val: int = 160
    ucf_per_class: int = 16
    hmdb_per_class: int = 12
    stanza_steps: int = 120
    encoder_steps: int = 300
    encoder_dim: int = 64
    encoder_layers: int = 2


class Config(Strict, frozen=True, kw_only=True):
    """The whole of config.yaml."""

    results: str
    data: str
    corpus: str = "full"
    seeds: tuple[int, ...] = (0,)
    sources: dict[str, Source]
    datasets: dict[str, Dataset]
    encoders: dict[str, Encoder]
    crawl: Crawl = Crawl()
    clips: Clips = Clips()
    text: Text = Text()
    defaults: dict[str, Any] = {}
    experiments: dict[str, dict[str, Any]]
    run: tuple[str, ...]
    evaluate: Evaluate = Evaluate()
    tables: dict[str, Table]
    demo: Demo | None = None


def load_config(*paths: str | Path) -> Config:
    """Read and merge YAML files into a checked `Config`.

    Raises:
        ConfigError: a file is unreadable, or a key or value is not one of ours; the key is named.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        merged = merge(merged, read_yaml(path))
    where = " + ".join(str(path) for path in paths)
    config = _convert(merged, Config, where=where)
    _check_references(config, where=where)
    return config


def experiment(config: Config, name: str) -> Experiment:
    """The experiment `name`: the defaults with its overrides merged over them.

    Raises:
        ConfigError: there is no such experiment, or one of its keys is not ours.
    """
    if name not in config.experiments:
        raise ConfigError(f"experiments has no {name!r}", hint=_nearest(name, config.experiments))
    merged = merge(config.defaults, config.experiments[name])
    return _convert(merged, Experiment, where=f"experiments.{name}")


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge two mappings: mappings merge key by key, anything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def to_json(value: Any) -> str:
    """A config value as JSON with sorted keys: equal values give equal text."""
    return msgspec.json.encode(value, order="sorted").decode()


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys."""


def _unique_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    mapping: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in mapping:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read one YAML mapping, strictly.

    Raises:
        ConfigError: the file is missing, not YAML, not a mapping, or has a duplicate key.
    """
    try:
        with open(path, encoding="utf-8") as handle:
            value = yaml.load(handle, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file", hint="name it with --configfile") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", hint="mend the line that the message names") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: a config file is a mapping, not {type(value).__name__}")
    return value


_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z")


def _convert(value: dict[str, Any], kind: type[T], *, where: str) -> T:
    _refuse_odd_numbers(value, key=where)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}", hint=_hint(str(error), kind)) from None


def _refuse_odd_numbers(value: Any, *, key: str) -> None:
    """YAML 1.1 reads 1e-4 as text, and accepts .nan and .inf, which no setting of ours means."""
    if isinstance(value, dict):
        for name, item in value.items():
            _refuse_odd_numbers(item, key=f"{key}: {name}" if ": " not in key else f"{key}.{name}")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            _refuse_odd_numbers(item, key=f"{key}[{position}]")
    elif isinstance(value, str) and _FLOAT.match(value):
        raise ConfigError(f"{key} is {value!r}, which YAML reads as text", hint=f"write {_as_float(value)}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key} is {value}", hint="give a finite number")


def _as_float(text: str) -> str:
    mantissa, exponent = re.split("[eE]", text)
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    sign = "" if exponent[0] in "+-" else "+"
    return f"{mantissa}e{sign}{exponent}"


def _hint(message: str, kind: type[Any]) -> str:
    unknown = re.search(r"unknown field `([^`]*)`", message)
    return _nearest(unknown[1], _all_fields(kind)) if unknown else ""


def _all_fields(kind: Any, seen: set[Any] | None = None) -> set[str]:
    """Names of every key reachable from a config type."""
    seen = set() if seen is None else seen
    names: set[str] = set()
    for info in msgspec.structs.fields(kind):
        names.add(info.name)
        for part in _struct_types(info.type):
            if part not in seen:
                seen.add(part)
                names |= _all_fields(part, seen)
    return names


def _struct_types(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return [annotation]
    return [part for item in getattr(annotation, "__args__", ()) for part in _struct_types(item)]


def _nearest(name: str, known: Any) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def _check_references(config: Config, *, where: str) -> None:
    """Names used in one section must be defined in another."""
    known = config.experiments
    wanted = [("run", name) for name in config.run]
    wanted += [
        (f"tables.{t}.{row.name}", row.run) for t, table in config.tables.items() for row in table.rows if row.run
    ]
    for key, name in wanted:
        if name not in known:
            raise ConfigError(
                f"{where}: {key} names {name!r}, which experiments does not define", hint=_nearest(name, known)
            )
    for name in known:
        _check_experiment(config, name)
    for name, dataset in config.datasets.items():
        if dataset.source not in config.sources:
            raise ConfigError(
                f"{where}: datasets.{name}.source: {dataset.source!r}", hint=_nearest(dataset.source, config.sources)
            )


def _check_experiment(config: Config, name: str) -> None:
    exp = experiment(config, name)
    for source in (*exp.sources, exp.validation.source):
        if source not in config.sources:
            raise ConfigError(f"experiments.{name}: no source {source!r}", hint=_nearest(source, config.sources))
    if exp.encoder not in config.encoders:
        raise ConfigError(
            f"experiments.{name}: no encoder {exp.encoder!r}", hint=_nearest(exp.encoder, config.encoders)
        )

"""Settings of the protocols, and of the tables that show their results."""

from __future__ import annotations

from typing import Literal

from cpd.config.base import Strict, at_least, positive, require, rising
from cpd.config.training import Views

Protocol = Literal["knn", "linear", "finetune", "zeroshot", "retrieval"]


class Dataset(Strict, frozen=True, kw_only=True):
    """A labelled downstream set: which shards train it and which test it.

    With `folds` (UCF101, HMDB51) both come from the split `train` of `source` (usually "all"), told apart by the
    official list of each fold; without, `train` and `test` name two splits. Items without a label are refused, or with
    `unlabelled: leave_out` take no part in classification (the pairs of one's own videos may have labels in part).
    """

    source: str
    train: str
    test: str
    folds: tuple[int, ...] = ()
    fractions: tuple[float, ...] = ()
    unlabelled: Literal["refuse", "leave_out"] = "refuse"

    def __post_init__(self) -> None:
        rising(self, "folds")
        require(all(0 < share <= 1 for share in self.fractions), "fractions", "must be above 0 and at most 1")
        require(len({f"{share:g}" for share in self.fractions}) == len(self.fractions), "fractions", "hold one twice")


class FeatureViews(Strict, frozen=True, kw_only=True):
    """Test views: `clips` per video (and `crops` per clip), `frames` with `stride`, short side `size`."""

    clips: int = 10
    crops: int = 1
    frames: int = 8
    stride: int = 4
    size: int = 128

    def __post_init__(self) -> None:
        at_least(self, 1, "clips", "frames", "stride", "size")
        require(self.crops in (1, 3), "crops", "must be 1 (centre) or 3 (along the long side)")


class Knn(Strict, frozen=True, kw_only=True):
    """Nearest neighbours on frozen features."""

    k: int = 25
    vote: Literal["majority", "weighted"] = "majority"
    tau: float = 0.07

    def __post_init__(self) -> None:
        at_least(self, 1, "k")
        positive(self, "tau")


class Linear(Strict, frozen=True, kw_only=True):
    """Linear probe: BatchNorm + fully connected, cross-entropy. The defaults are the paper's (section 4.2).

    Attributes:
        optimizer: Adam, or SGD with `momentum`.
        momentum: of SGD.
        weight_decay: of every weight, in its L2 form.
        schedule: `step`: lr / 10 every `step` epochs; `cosine`: half a period down to 0.
        step: epochs between two steps of schedule `step`.
        warmup_epochs: over which lr rises from 0.
    """

    epochs: int = 30
    batch: int = 256
    optimizer: Literal["adam", "sgd"] = "adam"
    lr: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["step", "cosine"] = "step"
    step: int = 10
    warmup_epochs: int = 0

    def __post_init__(self) -> None:
        at_least(self, 1, "epochs", "step")
        at_least(self, 2, "batch")
        at_least(self, 0, "weight_decay")
        positive(self, "lr")
        require(0 <= self.momentum < 1, "momentum", "must be in [0, 1)")
        require(0 <= self.warmup_epochs < self.epochs, "warmup_epochs", "must be fewer than epochs")


class Finetune(Strict, frozen=True, kw_only=True):
    """Fine-tuning: all of the network and a new fc, Adam, lr / 10 twice.

    Attributes:
        epochs: of training; with `patience` at most this many at each of the three learning rates.
        milestones: epochs at which lr is divided by 10.
        patience: instead of `milestones`: lr is divided by 10 after this many epochs without a better top-1 of the
            held-out videos, twice, and the third time training ends.
        holdout: with `patience`, the share of each class's training videos that is held out, drawn by the run's seed.
        views: training clips.
        test: test views of a video; their probabilities are averaged.
        workers: decoding processes a rank; null: as the experiment's `train.workers`.
    """

    epochs: int = 60
    lr: float = 1e-4
    weight_decay: float = 5e-4
    batch: int = 64
    milestones: tuple[int, ...] = (30, 45)
    patience: int | None = None
    holdout: float = 0.1
    views: Views = Views(frames=16)
    test: FeatureViews = FeatureViews(crops=3, frames=16)
    workers: int | None = None

    def __post_init__(self) -> None:
        at_least(self, 1, "epochs")
        at_least(self, 2, "batch")
        at_least(self, 0, "weight_decay")
        positive(self, "lr")
        rising(self, "milestones")
        require(self.workers is None or self.workers >= 0, "workers", "must be 0 or more, or null")
        require(self.patience is None or not self.milestones, "patience", "stands instead of milestones: give them []")
        require(self.patience is None or self.patience > 0, "patience", "must be at least 1, or null")
        require(0 < self.holdout < 1, "holdout", "must be between 0 and 1")

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rate of each stage: one with milestones inside; with `patience` "/ 10 twice"."""
        return (self.lr,) if self.patience is None else (self.lr, self.lr * 0.1, self.lr * 0.01)


class ZeroShot(Strict, frozen=True, kw_only=True):
    """Class names as text.

    Attributes:
        subsets: numbers of classes that are drawn at random, besides all classes; those of all or more are left out.
        draws: of each number; they follow from names, number and draw alone, so that rows compare.
        prompts: what is embedded for a class, its name in place of `{}`; of several the unit vectors are averaged.
    """

    subsets: tuple[int, ...] = (20, 50, 100)
    draws: int = 10
    prompts: tuple[str, ...] = ("{}",)

    def __post_init__(self) -> None:
        require(all(size > 1 for size in self.subsets), "subsets", "must be of 2 classes or more")
        require(self.draws > 0, "draws", "must be at least 1")
        require(bool(self.prompts), "prompts", "must not be empty")
        for prompt in self.prompts:
            require(prompt.count("{}") == 1, "prompts", f"need one {{}} each for the class name, unlike {prompt!r}")


class Retrieval(Strict, frozen=True, kw_only=True):
    """Text-video retrieval on held-out pairs."""

    n: int = 1000

    def __post_init__(self) -> None:
        at_least(self, 1, "n")


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
    protocol: Protocol
    dataset: str
    metric: str
    splits: tuple[str, ...] = ()


class Row(Strict, frozen=True, kw_only=True):
    """A row of a table: an experiment, or a published method we do not run (`external` says what it needs).

    `feature` replaces `{feature}` in the metric of the columns; `columns`, when given, are the only ones filled.
    `protocol` and `metric`, when given, stand for those of the columns (frozen features in a table of fine-tuning).
    """

    name: str
    run: str | None = None
    external: str | None = None
    feature: str = ""
    columns: tuple[str, ...] = ()
    protocol: Protocol | None = None
    metric: str | None = None

    def __post_init__(self) -> None:
        require((self.run is None) != (self.external is None), "run", "or external is needed, one of the two")


class Table(Strict, frozen=True, kw_only=True):
    """One table of the paper: rows are experiments, columns are metrics of result files."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""

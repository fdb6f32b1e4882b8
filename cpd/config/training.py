"""Settings of an experiment: model, objective, curriculum, optimisation."""

from __future__ import annotations

from typing import Literal

from cpd.config.base import Strict, at_least, positive, require, rising
from cpd.config.rho import Rho


class Encoder(Strict, frozen=True, kw_only=True):
    """A text encoder (docs/encoders.md).

    Attributes:
        path: `transformers`: a folder in its format, or a hub name; `skip_thoughts`: the folder of the published
            files; `word2vec`: a file in word2vec's binary or text format.
        kind: what `path` is. Only a transformers encoder can be trained (`lr_text`).
        max_tokens: longer titles are cut to this many tokens or words.
        vectors: a word2vec file from which Skip-Thoughts' words are expanded; null keeps to its dictionary.
        limit: read the first `limit` words of a word2vec file (they stand by frequency); null reads all.
        unmasked: pad every title to `max_tokens` and give the transformer no attention mask, as the authors' code did
            (PAPER section 4 d): right for their released weights alone.
    """

    path: str
    kind: Literal["transformers", "skip_thoughts", "word2vec"] = "transformers"
    max_tokens: int = 64
    vectors: str | None = None
    limit: int | None = None
    unmasked: bool = False

    def __post_init__(self) -> None:
        least = {"transformers": 3, "skip_thoughts": 2}.get(self.kind, 1)  # a word, and the marks around it
        require(self.max_tokens >= least, "max_tokens", f"must be at least {least} for kind: {self.kind}")
        require(self.limit is None or self.limit > 0, "limit", "must be at least 1, or null")
        require(self.vectors is None or self.kind == "skip_thoughts", "vectors", "belongs to kind: skip_thoughts alone")
        require(self.limit is None or self.kind != "transformers", "limit", "belongs to word2vec files")
        require(not self.unmasked or self.kind == "transformers", "unmasked", "belongs to kind: transformers alone")


class Backbone(Strict, frozen=True, kw_only=True):
    """Slow 3D ResNet (PAPER section 1).

    Attributes:
        depth: 34 and 50 are the paper's.
        width: channels of the stem.
        channels_last: keep weights and maps with the channels innermost. The same network up to rounding; faster on
            CPUs when it is small, and on GPUs in half precision.
        temporal: false leaves every kernel within its frame: a 2-D ResNet applied frame by frame (Table 4's ImageNet
            ResNet-50).
        shortcut: B projects where shapes change; A, of the authors' released weights, subsamples and pads.
        folded: compute what has a kernel extent of 1 as 2-D convolution (the same network up to rounding); give it
            channels_last, too.
        pixels: the normalisation that the weights expect.
        weights: a checkpoint to begin with, in any layout that `cpd import` reads: a local file, or an https address
            with the SHA-256 in its name, as torch's hub has them. Heads and language model come from it, too, where
            it holds them. null begins at random.
    """

    depth: Literal[10, 18, 34, 50] = 34
    width: int = 64
    channels_last: bool = False
    temporal: bool = True
    shortcut: Literal["A", "B"] = "B"
    folded: bool = False
    pixels: Literal["kinetics", "imagenet", "slowfast"] = "kinetics"
    weights: str | None = None

    def __post_init__(self) -> None:
        at_least(self, 1, "width")


class Heads(Strict, frozen=True, kw_only=True):
    """Projection heads: video Linear(feat, dim); text Linear(., hidden)-BN-ReLU-Linear(hidden, dim)."""

    dim: int = 256
    hidden: int = 512

    def __post_init__(self) -> None:
        require(self.dim >= 2, "dim", "must be at least 2: unit vectors of fewer numbers are all alike")
        at_least(self, 1, "hidden")


class Objective(Strict, frozen=True, kw_only=True):
    """What is minimised (equations 2 to 5).

    Attributes:
        name: `info_nce` is InfoNCE within each micro-batch; `persistency` is `rho` alone and `supervised` cross-entropy
            over the labels of the sources, both without any text; `none` keeps the random initialisation.
        rho: temporal persistency; beside a loss on titles it is added to that, which then sees all clips.
        estimator: exact softmax over all N pairs, or NCE with `noise` samples per anchor.
        tau: temperature.
        noise: NCE noise samples per anchor (m).
        log_z: NCE's normaliser: of the first batch, or an exponential moving average.
        delta: margin of the ranking loss; `both_directions` ranks videos for each text, too.
        momentum: share of the old row when a bank row is updated.
        mask_equal_titles: pairs whose titles are equal are no negatives of each other.
        shard_banks: each rank keeps a part of the banks' rows (the same result; memory divided by the ranks).
        banks: precision of the banks' rows; bf16 halves their memory, and lets a GPU compute the exact softmax as one
            fused attention (docs/benchmarks.md).
    """

    name: Literal["cross_pair", "self_instance", "ranking", "info_nce", "persistency", "supervised", "none"] = (
        "cross_pair"
    )
    rho: Rho | None = None
    estimator: Literal["exact", "nce"] = "exact"
    tau: float = 0.07
    noise: int = 16392
    log_z: Literal["first_batch", "ema"] = "first_batch"
    delta: float = 0.2
    both_directions: bool = False
    momentum: float = 0.5
    mask_equal_titles: bool = False
    shard_banks: bool = False
    banks: Literal["fp32", "bf16"] = "fp32"

    def __post_init__(self) -> None:
        positive(self, "tau")
        at_least(self, 1, "noise")
        at_least(self, 0, "delta")
        require(0 <= self.momentum < 1, "momentum", "must be in [0, 1)")
        exact = self.estimator == "exact" or self.name != "self_instance"
        require(exact, "estimator", "must be exact: name: self_instance has no other")
        banked = self.name in ("cross_pair", "self_instance")
        require(banked or not self.shard_banks, "shard_banks", "belongs to objectives with banks")
        require(self.name != "persistency" or self.rho is not None, "rho", "is needed by name: persistency")
        without = self.name in ("supervised", "none")
        require(not (without and self.rho is not None), "rho", f"has no part in name: {self.name}")

    @property
    def learns_from_titles(self) -> bool:
        """Whether titles take part, so that sentences and clips can be compared: in all but three."""
        return self.name not in ("persistency", "supervised", "none")


class Stage(Strict, frozen=True, kw_only=True):
    """One stage of the curriculum.

    Attributes:
        epochs: at most this many.
        patience: end the stage after this many epochs without a better validation retrieval (null: never).
        lr: learning rate of everything but the language model.
        lr_text: learning rate of the language model; null freezes it (eval mode, features computed once).
        warmup_epochs: over which both rise from 0; null takes `train.warmup_epochs`.
    """

    epochs: int
    lr: float
    lr_text: float | None = None
    patience: int | None = None
    warmup_epochs: int | None = None

    def __post_init__(self) -> None:
        at_least(self, 1, "epochs")
        positive(self, "lr")
        require(self.lr_text is None or self.lr_text > 0, "lr_text", "must be positive, or null to freeze")
        require(self.patience is None or self.patience > 0, "patience", "must be at least 1, or null")
        require((self.warmup_epochs or 0) >= 0, "warmup_epochs", "must be 0 or more")


class Views(Strict, frozen=True, kw_only=True):
    """How clips are sampled, and augmented in training: the same for every frame of a clip.

    Attributes:
        frames: of a clip.
        stride: from one to the next.
        size: to which the crop is scaled.
        scales: the crop's side is one of these shares of the short side, at a corner or in the centre.
        short_side: instead of `scales`: the crop is one of `size` pixels anywhere in a picture whose short side is
            scaled to a number drawn from this range (the persistency study's: [256, 320]).
        flip: mirror half of the clips.
        jitter: brightness, contrast and saturation are scaled by factors from [1 - jitter, 1 + jitter].
        hue: chroma is turned by an angle from [-hue, hue] of a full turn.
        jitter_p: share of the clips whose colours (`jitter`, `hue`) are changed.
        gray_p: share of the clips that lose their colour.
        blur_p: share of the clips that are blurred.
        blur_sigma: range of the blur's standard deviation, in pixels of the crop.
    """

    frames: int = 8
    stride: int = 4
    size: int = 112
    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    short_side: tuple[int, int] | None = None
    flip: bool = True
    jitter: float = 0.4
    hue: float = 0.0
    jitter_p: float = 1.0
    gray_p: float = 0.0
    blur_p: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        at_least(self, 1, "frames", "stride", "size")
        for key in ("jitter", "jitter_p", "gray_p", "blur_p"):
            require(0 <= getattr(self, key) <= 1, key, "must be in [0, 1]")
        require(0 <= self.hue <= 0.5, "hue", "must be in [0, 0.5]")
        require(bool(self.scales), "scales", "must not be empty: [1.0] keeps the whole short side")
        require(all(0 < share <= 1 for share in self.scales), "scales", "must be above 0 and at most 1")
        low, high = self.short_side or (self.size, self.size)
        require(self.size <= low <= high, "short_side", "must be a range from `size` or more")
        require(0 < self.blur_sigma[0] <= self.blur_sigma[1], "blur_sigma", "must be a range of positive numbers")


class Train(Strict, frozen=True, kw_only=True):
    """Optimisation. `batch` is global: it is kept whatever the number of ranks, by accumulation.

    Attributes:
        optimizer: SGD with momentum, or LARS, which scales each weight's step to its norm (for large learning rates).
        milestones: epochs of a stage at which `schedule: step` divides the learning rates by 10.
        ema: decay of an exponential moving average of the weights, which is then what is validated and saved;
            null: the weights themselves.
        compile: torch.compile of the video network (needs a C++ compiler; the first step takes minutes).
        deterministic: refuse every operation that may differ from one run to the next on a GPU (slower).
        log: where metrics go besides metrics.jsonl; the package must be installed.
    """

    batch: int = 512
    per_rank: int = 64
    optimizer: Literal["sgd", "lars"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup_epochs: int = 0
    schedule: Literal["constant", "cosine", "step"] = "constant"
    milestones: tuple[int, ...] = ()
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    clip_grad: float | None = None
    sync_bn: bool = False
    ema: float | None = None
    compile: bool = False
    deterministic: bool = False
    workers: int | None = None
    checkpoint_minutes: float = 10.0
    keep_checkpoints: int = 2
    validate_every: int = 1
    log: tuple[Literal["tensorboard", "wandb"], ...] = ()

    def __post_init__(self) -> None:
        require(self.batch > 1, "batch", "must be at least 2: batch norm needs two samples")
        at_least(self, 1, "per_rank", "validate_every")
        at_least(self, 0, "weight_decay", "warmup_epochs", "checkpoint_minutes")
        require(0 <= self.momentum < 1, "momentum", "must be in [0, 1)")
        require(self.clip_grad is None or self.clip_grad > 0, "clip_grad", "must be positive, or null for no clipping")
        require(self.workers is None or self.workers >= 0, "workers", "must be 0 or more, or null for one a core")
        require(self.ema is None or 0 < self.ema < 1, "ema", "must be between 0 and 1, or null")
        rising(self, "milestones")
        require(bool(self.milestones) == (self.schedule == "step"), "milestones", "belong to schedule: step")
        require(
            self.keep_checkpoints >= 2, "keep_checkpoints", "must be at least 2, so that a torn one has a predecessor"
        )


class Validation(Strict, frozen=True, kw_only=True):
    """Held-out text-video retrieval: the first `n` pairs of a source's split (deterministic centre views)."""

    source: str = "kinetics"
    split: str = "val"
    n: int = 1000

    def __post_init__(self) -> None:
        at_least(self, 1, "n")


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
        at_least(self, 0, "gpus")
        trains = self.objective.name != "none"
        require(trains == bool(self.stages), "stages", "are needed by every objective but `none`, which takes none")

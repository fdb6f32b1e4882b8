"""Hours of one GPU, from multiply-adds: forward passes, and two more for each that is trained.

The language model and the loss are left out: a title of 12 tokens takes DistilBERT some 0.5 GMAC, the exact softmax
over 210,000 pairs 0.1, a clip 11.8 (R34 at 112) or 41.7 (R50 at 224).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from cpd.config import Backbone, Config, Views, evaluation, experiment

if TYPE_CHECKING:
    from cpd.config import Dataset
    from cpd.plan.needs import Needs, Request

TRAIN_OF_FOLD, TEST_OF_FOLD = 0.7, 0.3  # of a set with folds (UCF101: 9,537 and 3,783 of 13,320)


@cache
def macs(backbone: Backbone, frames: int, size: int) -> int:
    """Multiply-adds of one clip's forward pass."""
    import torch

    from cpd.models import resnet3d
    from cpd.pretrain.estimate import measure

    with torch.device("meta"):
        network = resnet3d.build(backbone)
    return measure(network, Views(frames=frames, size=size), clips=2).macs


def videos(config: Config, source: str, split: str) -> float:
    """Videos of a split that become samples."""
    spec = config.sources[source]
    return spec.pairs[split] * (config.plan.ok_share if spec.url else 1.0)


def pretraining(config: Config, name: str) -> float:
    """Hours of one GPU for one training of an experiment, all epochs of all stages and every validation."""
    from cpd.pretrain.estimate import passes_of

    exp = experiment(config, name)
    epochs = sum(stage.epochs for stage in exp.stages)
    clips = epochs * sum(videos(config, source, "train") for source in exp.sources)
    validations = epochs / exp.train.validate_every
    passes = clips * passes_of(exp) + validations * exp.validation.n
    return gpu_hours(config, passes * macs(exp.backbone, exp.views.frames, exp.views.size))


def evaluating(config: Config, needs: Needs, name: str) -> float:
    """Hours of one GPU for features and fine-tuning of all runs of an experiment; the rest runs on CPUs in minutes."""
    found = needs.of(config, name)
    backbone, settings = experiment(config, name).backbone, evaluation(config, name)
    views = settings.features
    seen = sum(videos(config, source, split) for _, source, split in found.features)
    extracted = seen * views.clips * views.crops * macs(backbone, views.frames, views.size)
    tuned = sum(_tuning(config, request) for request in found.requests if request.protocol == "finetune")
    return gpu_hours(config, extracted + tuned)


def _tuning(config: Config, request: Request) -> float:
    """Multiply-adds of one fine-tuning, of as many epochs as its patience may allow, and its test."""
    from cpd.pretrain.estimate import PASSES

    backbone = experiment(config, request.experiment).backbone
    settings, dataset = evaluation(config, request.experiment).finetune, config.datasets[request.dataset]
    train, test = sides(config, dataset, split=request.split)
    clips = train * settings.epochs * len(settings.rates) * PASSES
    views = settings.test
    tested = test * views.clips * views.crops
    return clips * macs(backbone, settings.views.frames, settings.views.size) + tested * macs(
        backbone, views.frames, views.size
    )


def sides(config: Config, dataset: Dataset, *, split: str) -> tuple[float, float]:
    """Videos that train and that test on a split; of folds the usual shares, since the lists are not read."""
    train, test = (videos(config, dataset.source, part) for part in (dataset.train, dataset.test))
    if dataset.folds:
        return train * TRAIN_OF_FOLD, test * TEST_OF_FOLD
    return train * (float(split) if dataset.fractions else 1.0), test


def gpu_hours(config: Config, multiply_adds: float) -> float:
    """Hours of one GPU; a multiply-add is two operations."""
    return 2 * multiply_adds / (config.plan.gpu_tflops * 1e12 * config.plan.utilisation) / 3600

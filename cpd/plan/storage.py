"""Bytes on disk: what sources, trainings and features take."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from cpd.config import Backbone, Config, experiment
from cpd.plan.hours import videos

if TYPE_CHECKING:
    from cpd.config import Experiment

BANKED = ("cross_pair", "self_instance")
TEXT_WIDTH = {"transformers": 768, "skip_thoughts": 4800, "word2vec": 300}  # E of the published encoders
USUAL_TEXT_WIDTH = 768  # of another kind: the heads are few of the bytes, and no encoder is loaded to count them
FLOAT = 4
WIDTH = {"fp32": FLOAT, "bf16": 2}


@cache
def network_size(backbone: Backbone) -> tuple[int, int]:
    """Parameters of a video network, and the width F of its feature."""
    import torch

    from cpd.models import resnet3d

    with torch.device("meta"):
        network = resnet3d.build(backbone)
    return sum(p.numel() for p in network.parameters()), network.feature_dim


def weights(config: Config, exp: Experiment) -> int:
    """model.safetensors: video network and heads, and the language model where it is trained."""
    parameters, width = network_size(exp.backbone)
    trained = any(stage.lr_text is not None for stage in exp.stages)
    demo, kind = config.demo, config.encoders[exp.encoder].kind
    text_width = demo.encoder_dim if demo and kind == "transformers" else TEXT_WIDTH.get(kind, USUAL_TEXT_WIDTH)
    heads = width * exp.heads.dim + exp.heads.hidden * (text_width + exp.heads.dim)
    return FLOAT * (parameters + heads + (config.plan.language_model if trained else 0))


def banks(config: Config, exp: Experiment) -> int:
    """Both banks, in memory on each GPU (or shared) and in every checkpoint."""
    if exp.objective.name not in BANKED:
        return 0
    pairs = round(sum(videos(config, source, "train") for source in exp.sources))
    return 2 * WIDTH[exp.objective.banks] * exp.heads.dim * pairs


def persistency(exp: Experiment) -> int:
    """What a method of temporal persistency adds to a checkpoint: heads with momentum, second network, queue."""
    if exp.objective.rho is None:
        return 0
    import torch

    from cpd.models import resnet3d
    from cpd.objectives.rho.method import Steps
    from cpd.pretrain.methods import build_method

    nowhere = torch.device("meta")
    with nowhere:
        tower = resnet3d.build(exp.backbone)
        method = build_method(exp.objective.rho, tower, steps=Steps(total=1, epoch=1), seed=0, device=nowhere)
    held = [*method.state_dict().values(), *method.memory().get("queue", {}).values()]
    trained = [p for p in method.parameters() if p.requires_grad]
    return sum(tensor.nbytes for tensor in held + trained if isinstance(tensor, torch.Tensor))


def checkpoints(config: Config, exp: Experiment) -> int:
    """While a run trains: weights, momentum, banks, a second network, as often as are kept. They go when it is done."""
    if not exp.stages:
        return 0
    whole = config.encoders[exp.encoder].kind == "transformers"
    trained = weights(config, exp)
    text_trains = any(stage.lr_text is not None for stage in exp.stages)
    frozen_text = FLOAT * config.plan.language_model if whole and not text_trains else 0
    return exp.train.keep_checkpoints * (2 * trained + frozen_text + banks(config, exp) + persistency(exp))


def features(config: Config, run: str, source: str, split: str) -> int:
    """Embedding, res5 and, where there are titles, their embedding of every video."""
    exp = experiment(config, run.partition("@")[0])
    width = network_size(exp.backbone)[1] + exp.heads.dim * (2 if config.sources[source].text else 1)
    return round(FLOAT * width * videos(config, source, split))


def of_source(config: Config, name: str) -> dict[str, float]:
    """Bytes of a source: `videos` as they are fetched, and `shards`: the clips, once by themselves and once packed."""
    n = sum(videos(config, name, split) for split in config.sources[name].pairs)
    media_mb = config.plan.source_mb.get(name, config.plan.media_mb)
    return {"videos": n * media_mb * 1e6, "shards": 2 * n * config.plan.clip_mb * 1e6}

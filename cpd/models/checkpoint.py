"""The run folder's `model.safetensors` and `config.json`: written whole, loaded strictly."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from cpd.config import Encoder, Experiment
from cpd.errors import CpdError
from cpd.fileio import read_json, sha256_file, write_json
from cpd.models import resnet3d
from cpd.models.embedder import Embedder as Embedder
from cpd.models.resnet3d import SlowResNet
from cpd.models.two_tower import TwoTower
from cpd.tensors import write_tensors

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS, CONFIG = "model.safetensors", "config.json"
VIDEO = "video."
LANGUAGE_MODEL = "text."  # prefix of the language model's tensors
AGAIN = "delete the folder and run `cpd pretrain` again"


class RunConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What config.json says.

    Attributes:
        experiment: all settings of the run.
        encoder: where its language model came from.
        encoder_from_run: the encoder's folder relative to the run folder, so that both may be moved together.
        text_trained: whether model.safetensors holds the language model, too: it is not the encoder's any more.
        text_sha256: of the language model's tensors at saving.
        weights_sha256: of model.safetensors.
        feature_dim: F, the width of res5.
        text_dim: E.
        dim: D.
    """

    experiment: Experiment
    encoder: Encoder
    encoder_from_run: str
    text_trained: bool
    text_sha256: str
    weights_sha256: str
    feature_dim: int
    text_dim: int
    dim: int


def save_run(folder: str | Path, model: TwoTower, exp: Experiment, encoder: Encoder) -> None:
    """Write model.safetensors and config.json, each whole or not at all; config.json last.

    The weights are those of the video tower and the heads; the language model's only if a stage trained it or it came
    with `backbone.weights`, since otherwise they are the encoder's, whose path and digest config.json records.

    Args:
        folder: the run folder, made when absent.
        model: the bare model (out of its DDP wrapper).
        exp: what was trained.
        encoder: the language model it began with.

    Raises:
        CpdError: the weights could not be written (a full disk); what was there before is untouched.
    """
    adopted = model.adopted is not None and model.adopted.has(LANGUAGE_MODEL)
    write_run(
        Path(folder),
        model,
        exp,
        encoder,
        encoder_from_run=os.path.relpath(encoder.path, folder),
        with_text=adopted or any(stage.lr_text is not None for stage in exp.stages),
    )


def write_run(
    folder: Path, model: TwoTower, exp: Experiment, encoder: Encoder, *, encoder_from_run: str, with_text: bool
) -> None:
    """`save_run`, told where the encoder is and whether the language model's weights stand in model.safetensors."""
    state = model.state_dict()
    kept = {name: _plain(value) for name, value in state.items() if with_text or not name.startswith(LANGUAGE_MODEL)}
    write_tensors(folder / WEIGHTS, kept, metadata={"format": "pt"})
    run = RunConfig(
        experiment=exp,
        encoder=encoder,
        encoder_from_run=encoder_from_run,
        text_trained=with_text,
        text_sha256=_digest(state),
        weights_sha256=sha256_file(folder / WEIGHTS),
        feature_dim=model.video.feature_dim,
        text_dim=model.text.dim,
        dim=exp.heads.dim,
    )
    write_json(folder / CONFIG, msgspec.to_builtins(run))


def load_embedder(path: str | Path, *, device: torch.device | str | None = None) -> Embedder:
    """Load a run folder, strictly: every tensor must be there, fit, and be the one that was saved.

    Args:
        path: folder of `cpd pretrain`.
        device: where to run; by default cuda if there is one, else the CPU.

    Raises:
        CpdError: a file is missing or torn, tensors are missing, unknown or of another shape (they are named), or the
            encoder is gone or is not the one the run was trained with.
    """
    folder = Path(path)
    run = read_config(folder)
    weights = _read_weights(folder / WEIGHTS)
    model = TwoTower(run.experiment, _find_encoder(run, folder), begin=False)
    _fill(model, weights, run, folder / WEIGHTS)
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model.requires_grad_(False)
    return Embedder(model.eval().to(chosen), run.experiment, chosen)


def load_video(path: str | Path) -> tuple[SlowResNet, Experiment]:
    """Load the video tower alone, on the CPU, as strictly: fine-tuning needs no language model, nor time to load one.

    Args:
        path: folder of `cpd pretrain`.

    Raises:
        CpdError: a file is missing or torn, or tensors of the video tower are missing, unknown or of another shape.
    """
    folder = Path(path)
    run = read_config(folder)
    weights = _read_weights(folder / WEIGHTS)
    video = resnet3d.build(run.experiment.backbone)
    own = {name: value for name, value in weights.items() if name.startswith(VIDEO)}
    _check(own, {f"{VIDEO}{name}": value for name, value in video.state_dict().items()}, run, folder / WEIGHTS)
    video.load_state_dict({name.removeprefix(VIDEO): value for name, value in own.items()})
    return video, run.experiment


def _plain(value: Tensor) -> Tensor:
    """On the CPU, contiguous, and sharing no memory (safetensors refuses shared tensors)."""
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def _digest(state: dict[str, Tensor]) -> str:
    """SHA-256 of the language model's names and values."""
    digest = hashlib.sha256()
    for name in sorted(name for name in state if name.startswith(LANGUAGE_MODEL)):
        digest.update(name.encode())
        digest.update(_plain(state[name]).reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_config(folder: Path) -> RunConfig:
    """What config.json of a run folder says.

    Raises:
        CpdError: it is missing, torn, or of another form.
    """
    path = folder / CONFIG
    try:
        return msgspec.convert(read_json(path), RunConfig)
    except msgspec.ValidationError as error:
        raise CpdError(f"{path}: {error}", hint=AGAIN) from None


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CpdError(f"{path}: no such file", hint="run `cpd pretrain`, or mend the path")
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise CpdError(f"{path}: not a whole safetensors file: {error}", hint=AGAIN) from None
    return tensors


def _find_encoder(run: RunConfig, folder: Path) -> Encoder:
    """The encoder beside the run if both were moved together, or where it was, or its hub name; a digest checks it."""
    found = {}
    if (folder / run.encoder_from_run).exists():
        found["path"] = str(folder / run.encoder_from_run)
    if run.encoder.vectors is not None and (folder / run.encoder.vectors).exists():
        found["vectors"] = str(folder / run.encoder.vectors)
    return msgspec.structs.replace(run.encoder, **found)


def _fill(model: TwoTower, weights: dict[str, Tensor], run: RunConfig, path: Path) -> None:
    """Load the weights after checking names, shapes and digests."""
    state = model.state_dict()
    wanted = {name: value for name, value in state.items() if run.text_trained or not name.startswith(LANGUAGE_MODEL)}
    _check(weights, wanted, run, path)
    model.load_state_dict(weights, strict=False)
    if _digest(model.state_dict()) != run.text_sha256:
        raise CpdError(
            f"{path.parent}: the encoder {run.encoder.path!r} is not the one this run was trained with",
            hint="put the encoder back, or run `cpd pretrain` again",
        )


def _check(weights: dict[str, Tensor], wanted: dict[str, Tensor], run: RunConfig, path: Path) -> None:
    """The names and shapes that are wanted, in a file that is the one the config was written for."""
    _refuse(path, "lacks", sorted(wanted.keys() - weights.keys()))
    _refuse(path, "has unknown", sorted(weights.keys() - wanted.keys()))
    shapes = [name for name, value in wanted.items() if weights[name].shape != value.shape]
    _refuse(path, "has shapes unlike the config's in", shapes)
    if sha256_file(path) != run.weights_sha256:
        raise CpdError(f"{path}: its SHA-256 is not the one in {CONFIG} beside it", hint=AGAIN)


def _refuse(path: Path, what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise CpdError(f"{path} {what}: {', '.join(names[:5])}{more}", hint=AGAIN)

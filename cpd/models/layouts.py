"""Checkpoints of others: which layout a file has, and what each of its tensors is called here.

A layout says for every name either our name, or why the tensor is left out (classifiers, memory banks). A name that
is neither is an error, and so is a part of the model that the file holds half of: nothing is loaded by luck.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cpd.errors import CpdError

if TYPE_CHECKING:
    from collections.abc import Mapping

VIDEO, VIDEO_HEAD, TEXT, TEXT_HEAD = "video.", "video_head.", "text.", "text_head."
WRAPPERS = ("state_dict", "model_state", "model_state_dict", "model")  # where trainers put the weights
CLASSIFIER = "a classifier; protocols train their own"
BANK = "a memory bank; banks belong to the training data, not to the network"
COUNTER = "num_batches_tracked"  # BatchNorm's; unused with a fixed momentum, and absent from old files


class Ours(NamedTuple):
    """The name of a tensor here."""

    name: str


class LeftOut(NamedTuple):
    """Why a tensor is not loaded."""

    why: str


Rename = Callable[[str], Ours | LeftOut | None]


class Layout(NamedTuple):
    """How a family of checkpoints names its tensors.

    Attributes:
        name: of the layout.
        sign: a tensor that only this layout has.
        rename: name there -> ours, or why not; None for a name that the layout does not know.
    """

    name: str
    sign: str
    rename: Rename


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of torch's own format (only weights are unpickled), without `module.`.

    Raises:
        CpdError: no such file, torn, a pickle of more than weights, or no tensors by name in it.
    """
    path = Path(path)
    if not path.is_file():
        raise CpdError(f"{path}: no such file", hint="name a local file; fetch it once, where there is a network")
    loaded = _read(path)
    for wrapper in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
            break
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise CpdError(f"{path}: holds no tensors by name", hint=f"weights stand under one of {', '.join(WRAPPERS)}")
    return {name.removeprefix("module."): value for name, value in loaded.items()}


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise CpdError(f"{path}: not a whole safetensors file: {error}", hint="fetch the file again") from None
    except Exception as error:  # zipfile, pickle and torch each raise their own kinds for a torn or hostile file
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CpdError(f"{path}: not a checkpoint of weights alone: {first}", hint="fetch the file again") from None


def recognise(names: Mapping[str, Tensor], *, path: str | Path) -> Layout:
    """The layout that these names are of.

    Raises:
        CpdError: none of ours.
    """
    for layout in LAYOUTS:
        if layout.sign in names:
            return layout
    known = ", ".join(f"{layout.name} ({layout.sign})" for layout in LAYOUTS)
    raise CpdError(
        f"{path}: names such as {', '.join(sorted(names)[:3])} are of no layout known", hint=f"known: {known}"
    )


def _torchvision(name: str) -> Ours | LeftOut | None:
    """torchvision's ResNet, and the authors' 3-D one, which kept its names: layer1 is res2."""
    if name.startswith("fc."):
        return LeftOut(CLASSIFIER)
    stem = re.fullmatch(r"(conv1|bn1)\.(\w+)", name)
    if stem:
        return Ours(f"{VIDEO}stem.{0 if stem[1] == 'conv1' else 1}.{stem[2]}")
    block = re.fullmatch(r"layer([1-4])\.(\d+)\.(?:downsample\.([01])|((?:conv|bn)[1-3]))\.(\w+)", name)
    if not block:
        return None
    inner = block[4] or f"shortcut.{block[3]}"
    return Ours(f"{VIDEO}stages.{int(block[1]) - 1}.{block[2]}.{inner}.{block[5]}")


def _authors(name: str) -> Ours | LeftOut | None:
    """MCG-NJU/CPD-Video: both encoders, their heads, and the banks as buffers."""
    if name in ("vis_memory", "text_memory"):
        return LeftOut(BANK)
    if name in ("Z_v", "Z_t"):
        return LeftOut("the normaliser of NCE")
    if name.endswith("embeddings.position_ids"):
        return LeftOut("a buffer of older transformers: 0, 1, 2, ...")
    prefix, _, rest = name.partition(".")
    if prefix == "visual_encoder":
        return _torchvision(rest)
    ours = {"vis_emb": VIDEO_HEAD, "text_emb": f"{TEXT_HEAD}layers.", "textual_encoder": f"{TEXT}encoder."}
    return Ours(ours[prefix] + rest) if prefix in ours else None


_SLOWFAST = re.compile(
    r"s(?P<stage>[2-5])\.pathway0_res(?P<block>\d+)\.(?:branch1(?P<norm>_bn)?|branch2\.(?P<part>[abc])(?P<pnorm>_bn)?)"
    r"\.(?P<leaf>\w+)"
)
_PYTORCHVIDEO = re.compile(
    r"blocks\.(?P<stage>[1-4])\.res_blocks\.(?P<block>\d+)\."
    r"(?:branch1_(?P<kind>conv|norm)|branch2\.(?P<pkind>conv|norm)_(?P<part>[abc]))\.(?P<leaf>\w+)"
)


def _slowfast(name: str) -> Ours | LeftOut | None:
    """facebookresearch/SlowFast's SlowOnly: s1 is the stem, s2 res2."""
    if name.startswith("head."):
        return LeftOut(CLASSIFIER)
    stem = re.fullmatch(r"s1\.pathway0_stem\.(conv|bn)\.(\w+)", name)
    if stem:
        return Ours(f"{VIDEO}stem.{0 if stem[1] == 'conv' else 1}.{stem[2]}")
    found = _SLOWFAST.fullmatch(name)
    if not found:
        return None
    is_norm = bool(found["norm"] or found["pnorm"])
    return _block(int(found["stage"]) - 2, found["block"], part=found["part"], is_norm=is_norm, leaf=found["leaf"])


def _pytorchvideo(name: str) -> Ours | LeftOut | None:
    """PyTorchVideo's slow_r50: blocks.0 is the stem, blocks.1 res2, blocks.5 the classifier."""
    if name.startswith("blocks.5."):
        return LeftOut(CLASSIFIER)
    stem = re.fullmatch(r"blocks\.0\.(conv|norm)\.(\w+)", name)
    if stem:
        return Ours(f"{VIDEO}stem.{0 if stem[1] == 'conv' else 1}.{stem[2]}")
    found = _PYTORCHVIDEO.fullmatch(name)
    if not found:
        return None
    is_norm = (found["kind"] or found["pkind"]) == "norm"
    return _block(int(found["stage"]) - 1, found["block"], part=found["part"], is_norm=is_norm, leaf=found["leaf"])


def _block(stage: int, block: str, *, part: str | None, is_norm: bool, leaf: str) -> Ours:
    """Part a, b or c of a block, or its shortcut."""
    if part is None:
        return Ours(f"{VIDEO}stages.{stage}.{block}.shortcut.{int(is_norm)}.{leaf}")
    return Ours(f"{VIDEO}stages.{stage}.{block}.{'bn' if is_norm else 'conv'}{'abc'.index(part) + 1}.{leaf}")


LAYOUTS = (
    Layout("authors", "visual_encoder.conv1.weight", _authors),
    Layout("torchvision", "layer1.0.conv1.weight", _torchvision),
    Layout("slowfast", "s1.pathway0_stem.conv.weight", _slowfast),
    Layout("pytorchvideo", "blocks.0.conv.weight", _pytorchvideo),
)

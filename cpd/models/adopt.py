"""Take over the weights of a foreign checkpoint, strictly, and say what became of every tensor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from torch import Tensor

from cpd.errors import CpdError
from cpd.fileio import sha256_file
from cpd.models.fetch import local_weights
from cpd.models.layouts import COUNTER, TEXT, TEXT_HEAD, VIDEO, VIDEO_HEAD, LeftOut, read_checkpoint, recognise

if TYPE_CHECKING:
    from torch import nn

PARTS = {VIDEO: "the video tower", VIDEO_HEAD: "the video head", TEXT_HEAD: "the text head", TEXT: "the language model"}
_STAYS = dict.fromkeys(PARTS.values(), "stays random") | {PARTS[TEXT]: "stays what its encoder's files say"}
SHOWN = 8


class Adopted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of every tensor.

    Attributes:
        file: the checkpoint; `sha256` of it.
        layout: that it is of.
        matched: name there -> name here.
        left_out: name there -> why.
        absent: parts of the model that it does not hold; they stay as they were initialised (the language model: as
            its encoder's files are).
    """

    file: str
    sha256: str
    layout: str
    matched: dict[str, str]
    left_out: dict[str, str]
    absent: list[str]

    def lines(self) -> list[str]:
        """The report for people: every name, matched and not."""
        head = f"{self.file}: layout {self.layout}: {len(self.matched)} matched, {len(self.left_out)} left out"
        matched = [f"  matched   {theirs} -> {ours}" for theirs, ours in self.matched.items()]
        left = [f"  left out  {theirs}: {why}" for theirs, why in self.left_out.items()]
        return [head, *matched, *left, *(f"  absent    {part}: {_STAYS[part]}" for part in self.absent)]

    def has(self, prefix: str) -> bool:
        """Whether the checkpoint holds a part of the model, named by its prefix."""
        return PARTS[prefix] not in self.absent


def adopt(model: nn.Module, path: str | Path) -> Adopted:
    """Load what a checkpoint holds into the model: each part whole, or not at all; the video tower always.

    Args:
        model: a `TwoTower` (or anything with its names).
        path: a checkpoint in one of `layouts.LAYOUTS`: a local file, or an https address (see `fetch`).

    Raises:
        CpdError: the file cannot be fetched or read, is of no layout known, has a name that its layout does not, holds
            a part of the model half, or a tensor is of another shape or not finite. The model is unchanged then.
    """
    file = local_weights(path)
    theirs = read_checkpoint(file)
    layout = recognise(theirs, path=path)
    renamed = {name: layout.rename(name) for name in theirs}
    _refuse(path, f"has names unknown to the layout {layout.name}", [n for n, new in renamed.items() if new is None])
    left_out = {name: new.why for name, new in renamed.items() if isinstance(new, LeftOut)}
    matched = {name: new.name for name, new in renamed.items() if new is not None and not isinstance(new, LeftOut)}
    state = model.state_dict()
    tensors = {ours: theirs[name] for name, ours in matched.items()}
    absent = _check_parts(path, tensors, state)
    fitting = {ours: _fit(path, ours, value, state[ours]) for ours, value in tensors.items()}
    model.load_state_dict(fitting, strict=False)
    return Adopted(
        file=str(path),
        sha256=sha256_file(file),
        layout=layout.name,
        matched=matched,
        left_out=left_out,
        absent=[PARTS[prefix] for prefix in absent],
    )


def _check_parts(path: str | Path, tensors: dict[str, Tensor], state: dict[str, Tensor]) -> list[str]:
    """Prefixes of the parts that are not there at all; a part that is there must be whole."""
    _refuse(path, "has tensors that this model lacks", sorted(tensors.keys() - state.keys()), _OTHER)
    absent = []
    for prefix in PARTS:
        wanted = {name for name in state if name.startswith(prefix) and not name.endswith(COUNTER)}
        there = wanted & tensors.keys()
        if not there and prefix != VIDEO:
            absent.append(prefix)
        else:
            _refuse(path, f"lacks, of {PARTS[prefix]},", sorted(wanted - there), _OTHER)
    return absent


def _fit(path: str | Path, name: str, value: Tensor, own: Tensor) -> Tensor:
    """The tensor with our shape: a 2-D kernel is a 3-D one of length 1 in time."""
    if value.dim() == 4 and own.dim() == 5 and own.shape[2] == 1:
        value = value.unsqueeze(2)
    if value.shape != own.shape:
        shapes = f"{tuple(value.shape)} instead of {tuple(own.shape)}"
        raise CpdError(f"{path}: {name} is {shapes}", hint=_OTHER)
    if not value.isfinite().all():
        raise CpdError(f"{path}: {name} is not finite", hint="the file is damaged, or its training diverged")
    return value


_OTHER = (
    "give the experiment the network of the file: backbone.depth, width, temporal (false for 2-D weights), "
    "shortcut (A for the authors'), heads and encoder"
)


def _refuse(path: str | Path, what: str, names: list[str], hint: str = "") -> None:
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise CpdError(f"{path} {what}: {', '.join(names[:SHOWN])}{more}", hint=hint)

"""What the model card says of a network by how it was trained: what it is, what it can do, what it learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpd.config import Experiment

PAPER = "[CPD](https://arxiv.org/abs/2001.05691)"
STUDY = "[temporal persistency](https://arxiv.org/abs/2104.14558)"
TOWERS = f"A network of {PAPER}: a video tower and a text tower"
LICENCES = "Check the licences of the training videos before you pass the weights on: this card does not settle them."
TITLES = (
    "The weights learnt from titles that people wrote for public videos, and carry what those titles say and leave out."
)
LASTING = "persistency rewards what lasts over a video: a background as much as an action"
RAW_HEADS = "Heads and text tower were not trained: the network's `emb` and the embeddings of sentences mean nothing."


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The words of one kind of run.

    Attributes:
        what: the network, in a sentence.
        learnt: what its weights learnt from, and what to mind therefore.
        why_not: why sentences and videos cannot be compared; "" where they can.
        heads: whether the video head was trained, so that `emb` means something.
    """

    what: str
    learnt: str
    why_not: str = ""
    heads: bool = True


def kind_of(exp: Experiment, *, absent: Sequence[str] | None = None) -> Kind:
    """The kind of a run.

    Args:
        exp: that was trained.
        absent: parts of the network that an imported checkpoint did not hold; None for a run trained here.
    """
    if absent is not None:
        return _imported(absent)
    if not exp.objective.learns_from_titles:
        return _without_titles(exp)
    kind = _with_titles(exp)
    if exp.objective.rho is None:
        return kind
    beside = f"They learnt {STUDY} beside them: {LASTING}."
    return Kind(what=kind.what, learnt=f"{kind.learnt}\n{beside}", why_not=kind.why_not)


def _with_titles(exp: Experiment) -> Kind:
    if exp.shuffle_titles:
        why = "A control: each title was another video's, so sentences find no videos."
        learnt = "The weights learnt from titles that were shuffled over the videos, and say nothing about them."
        return Kind(what=f"{TOWERS}, trained on shuffled titles.", learnt=learnt, why_not=why)
    if exp.objective.name == "self_instance":
        why = "No title was compared with a video in training, so sentences find no videos."
        return Kind(what=f"{TOWERS}, each trained to tell its own instances apart.", learnt=TITLES, why_not=why)
    return Kind(what=f"{TOWERS} that meet on one unit sphere.", learnt=TITLES)


def _without_titles(exp: Experiment) -> Kind:
    if exp.objective.name == "persistency":
        what = f"A video tower that learnt from videos alone, by {STUDY}: clips of one video look alike."
        learnt = f"No title and no label was read: {LASTING}."
    elif exp.objective.name == "supervised":
        what = "A video tower that learnt from the labels of videos."
        learnt = "The weights learnt to tell the training videos' labels apart, and may have dropped what these ignore."
    elif exp.backbone.weights:
        what = f"A video tower with the weights of `{exp.backbone.weights}`; nothing was trained here."
        learnt = "What the weights learnt from is for their authors to say, and so is their licence."
    else:
        what = "A network as it was initialised, at random: the row that trained ones are compared with."
        learnt = "The weights learnt nothing."
    return Kind(what=what, learnt=learnt, why_not=RAW_HEADS, heads=False)


def _imported(absent: Sequence[str]) -> Kind:
    """Weights that others trained: what is known of them is which parts they hold."""
    learnt = "Others trained these weights. What on is for them to say, and so is the licence."
    heads = "the video head" not in absent
    if not absent or (heads and "the text head" not in absent):
        return Kind(what=f"{TOWERS}, imported from a published checkpoint.", learnt=learnt)
    why = f"The checkpoint lacks {', '.join(absent)}: sentences cannot be compared with videos."
    if not heads:
        why += " Without the video head, `emb` means nothing."
    return Kind(what="A video tower, imported from a published checkpoint.", learnt=learnt, why_not=why, heads=heads)

"""What every text tower offers: a width, tokens, and features of sentences.

Shapes: N titles, B titles of a batch, E text feature.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from cpd.errors import CpdError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CHUNK = 1 << 22  # bytes hashed at once


class SentenceTower(nn.Module):
    """Sentences to features.

    Attributes:
        dim: width of the text feature (E).
        max_tokens: longer titles are cut to this many.
        trainable: whether a stage may train it (`lr_text`).
    """

    dim: int
    max_tokens: int
    trainable = True

    def tokenize(self, titles: list[str]) -> dict[str, Tensor]:
        """What `forward` takes, on the CPU; each tensor's first dimension is B."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        first = next(self.parameters(), None)
        return next(self.buffers()).device if first is None else first.device

    @torch.no_grad()
    def encode(self, titles: list[str], batch_size: int = 256) -> Tensor:
        """Features (N, E) of many titles, on the CPU, in eval mode; a frozen encoder needs them only once."""
        was_training, device = self.training, self.device
        self.eval()
        by_length = sorted(range(len(titles)), key=lambda i: len(titles[i]))  # little padding in a batch
        features_NE = torch.zeros(len(titles), self.dim)
        quiet = True if len(titles) <= batch_size else None  # None: where there is no terminal
        for start in tqdm(range(0, len(titles), batch_size), desc="encode titles", unit="batch", disable=quiet):
            rows = by_length[start : start + batch_size]
            tokens = self.tokenize([titles[i] for i in rows])
            features_NE[rows] = self(**{name: value.to(device) for name, value in tokens.items()}).float().cpu()
        self.train(was_training)
        return features_NE


class FrozenTower(SentenceTower):
    """An encoder of published files that stays as it is.

    Its word tables stay out of the state, so that neither checkpoints nor GPUs carry gigabytes. The state holds the
    SHA-256 of the files instead: a run loads only with the files that it was trained with.
    """

    trainable = False
    fingerprint: Tensor

    def __init__(self, files: Iterable[Path]) -> None:
        super().__init__()
        self.files = list(files)
        self.register_buffer("fingerprint", torch.tensor(list(_sha256(self.files)), dtype=torch.uint8))
        self.register_load_state_dict_pre_hook(_same_files)  # type: ignore[no-untyped-call]


def _same_files(tower: FrozenTower, state: dict[str, Any], prefix: str, *_: object) -> None:
    saved = state.get(f"{prefix}fingerprint")
    if saved is not None and not torch.equal(saved.cpu(), tower.fingerprint.cpu()):
        names = ", ".join(str(path) for path in tower.files)
        raise CpdError(f"{names}: not the encoder files of the checkpoint", hint="put the files back")


def _sha256(files: Iterable[Path]) -> bytes:
    digest = hashlib.sha256()
    for path in files:
        with open(path, "rb") as handle:
            while part := handle.read(CHUNK):
                digest.update(part)
    return digest.digest()

"""A language model small enough to build in a test, with the interface of `TextTower`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from cpd.config import Backbone, Encoder, Experiment, Heads, Stage
from cpd.errors import CpdError


class SmallTextTower(nn.Module):
    """Masked mean of letter embeddings, with dropout while training."""

    dim = 6
    trainable = True

    def __init__(self, letters: torch.Tensor, max_tokens: int) -> None:
        super().__init__()
        self.letters, self.dropout, self.max_tokens = nn.Embedding.from_pretrained(letters), nn.Dropout(0.5), max_tokens

    @classmethod
    def from_path(cls, path: str, max_tokens: int) -> SmallTextTower:
        if not Path(path, "letters.pt").exists():
            raise CpdError(f"{path}: no encoder")
        return cls(torch.load(Path(path, "letters.pt"), weights_only=True), max_tokens)

    def tokenize(self, titles: list[str]) -> dict[str, torch.Tensor]:
        ids = [[ord(letter) % 32 for letter in title][: self.max_tokens] or [0] for title in titles]
        length = max(map(len, ids))
        return {
            "input_ids": torch.tensor([row + [0] * (length - len(row)) for row in ids]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in ids]),
        }

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states, mask = self.dropout(self.letters(input_ids)), attention_mask[:, :, None].float()
        return (states * mask).sum(1) / mask.sum(1)

    def encode(self, titles: list[str], batch_size: int) -> torch.Tensor:
        self.eval()
        starts = range(0, len(titles), batch_size)
        parts = [self(**self.tokenize(titles[start : start + batch_size])) for start in starts]
        return torch.cat([torch.empty(0, self.dim), *parts])


def write_encoder(folder: Path, *, seed: int = 0) -> Encoder:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(torch.randn(32, 6, generator=torch.Generator().manual_seed(seed)), folder / "letters.pt")
    return Encoder(path=str(folder), max_tokens=8)


def experiment(*, lr_text: float | None = None, **over: object) -> Experiment:
    small = {"backbone": Backbone(depth=10, width=4), "heads": Heads(dim=8, hidden=10)}
    return Experiment(stages=(Stage(epochs=1, lr=0.1, lr_text=lr_text),), **(small | over))


def distilbert(folder: Path) -> Encoder:
    """An untrained DistilBERT and its tokenizer, in transformers' format."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import DistilBertConfig, DistilBertModel, DistilBertTokenizerFast

    folder.mkdir(parents=True)
    words = BertWordPieceTokenizer()
    words.train_from_iterator(["a red ball rolls", "two dogs"], vocab_size=60, show_progress=False)
    DistilBertTokenizerFast(tokenizer_object=words._tokenizer).save_pretrained(folder)
    config = DistilBertConfig(vocab_size=60, dim=16, hidden_dim=16, n_layers=1, n_heads=2)
    DistilBertModel(config).save_pretrained(folder)
    return Encoder(path=str(folder), max_tokens=16)

"""The text tower: a transformers encoder whose token states are averaged over the attention mask.

Shapes: N titles, B titles of a batch, T tokens, E text feature. The paper's DistilBERT gives E = 768 (PAPER section 1).
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cpd.errors import CpdError
from cpd.models.sentence_tower import SentenceTower

if TYPE_CHECKING:
    from pathlib import Path


class TextTower(SentenceTower):
    """A pretrained encoder and its tokenizer.

    Attributes:
        dim: width of the text feature (E).
        max_tokens: longer titles are truncated to this many tokens, special ones included.
        unmasked: pad to `max_tokens` and let the encoder see the padding, as the authors' code did. The mean still
            leaves it out.
    """

    def __init__(self, encoder: nn.Module, tokenizer: Any, *, max_tokens: int, unmasked: bool = False) -> None:
        super().__init__()
        self.unmasked = unmasked
        self.encoder = encoder
        self.tokenizer = tokenizer
        config: Any = encoder.config
        self.dim: int = config.hidden_size
        self.max_tokens = min(max_tokens, getattr(config, "max_position_embeddings", max_tokens))
        self._accepted = set(inspect.signature(encoder.forward).parameters)

    @classmethod
    def from_path(cls, path: str | Path, max_tokens: int, *, unmasked: bool = False) -> TextTower:
        """Load an encoder from a folder in transformers' format, or by its hub name. Code of a model is never run.

        Raises:
            CpdError: it is not there (or not in the cache, without network), or is not a text encoder.
        """
        from transformers import AutoConfig, AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            AutoConfig.from_pretrained(path, trust_remote_code=False)  # one file: offline, its retries end sooner
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            encoder = AutoModel.from_pretrained(path, trust_remote_code=False, use_safetensors=True)
        except Exception as error:
            raise CpdError(f"{path}: no text encoder: {_first_line(error)}", hint=_HINT) from None
        if tokenizer.pad_token is None:
            raise CpdError(f"{path}: its tokenizer has no padding token", hint="use a BERT-like encoder")
        return cls(encoder, tokenizer, max_tokens=max_tokens, unmasked=unmasked)

    def tokenize(self, titles: list[str]) -> dict[str, Tensor]:
        """Token tensors (B, T), padded to the longest title, on the CPU; `attention_mask` is always among them."""
        if not self.tokenizer.num_special_tokens_to_add():
            # Without special tokens an empty title has no token, and the mean of none is not a number.
            titles = [title if title.strip() else self.tokenizer.pad_token for title in titles]
        tokens = self.tokenizer(
            titles,
            padding="max_length" if self.unmasked else True,
            truncation=True,
            max_length=self.max_tokens,
            return_attention_mask=True,
            return_tensors="pt",
        )
        return {name: value for name, value in tokens.items() if name in self._accepted}

    def forward(self, **tokens: Tensor) -> Tensor:
        """Tokens (B, T), as `tokenize` gives them, to features (B, E): the mean over the tokens the mask keeps."""
        mask_BT = tokens["attention_mask"]
        if self.unmasked:
            tokens = {**tokens, "attention_mask": torch.ones_like(mask_BT)}
        states_BTE: Tensor = self.encoder(**tokens).last_hidden_state
        weight_BT1 = mask_BT.unsqueeze(-1).to(states_BTE.dtype)
        return (states_BTE * weight_BT1).sum(1) / weight_BT1.sum(1).clamp(min=1)


_HINT = (
    "encoders.*.path is a folder in transformers' format (config.json, model.safetensors, tokenizer.json) or a hub "
    "name; "
    "offline, fetch it once with `hf download NAME --local-dir FOLDER` elsewhere and name the folder "
    "(the demo's own: `cpd demo-encoder`)"
)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"

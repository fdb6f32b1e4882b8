"""Train the demo's text encoder: a small DistilBERT that tells which sentences stand together.

A language model read enough text to know that `spins` and `rotates` mean the same and `bounces` does not. Masked words
of generated titles cannot teach that (every motion may stand where another does, so all motions become alike); what
stands together in a paragraph can. The objective is Quick-Thoughts (Logeswaran and Lee, 2018, equation 2): tell a
sentence's neighbour from the neighbours of the batch's other sentences.

Shapes: B paragraphs, T tokens, E sentence feature.
"""

from __future__ import annotations

import string
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from cpd.errors import CpdError
from cpd.fileio import give_usual_mode, write_json
from cpd.tensors import disk_errors
from cpd.text.folders import whole_folder

if TYPE_CHECKING:
    from cpd.config import Demo

Paragraph = tuple[str, str]
SENTENCES = 2
VOCABULARY = 2000
POSITIONS = 128
BATCH = 64
TAU = 0.1
HELD_OUT = 10  # one paragraph in ten is for the metric
_SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def train(demo: Demo, output: str | Path) -> dict[str, Any]:
    """Train on `{demo.folder}/paragraphs.txt` and save a transformers folder to `output`.

    The same seed, sentences and number of threads give the same weights.

    Returns:
        What is written to metrics.json: `loss` (nats) and `top1` (percent of sentences whose neighbour is found among
        at most 64) on held-out paragraphs, after and before training.

    Raises:
        CpdError: there are too few paragraphs, a line is not two sentences, or `encoder_dim` does not fit.
    """
    paragraphs = _read_paragraphs(Path(demo.folder) / "paragraphs.txt")
    held_out = paragraphs[::HELD_OUT]
    kept = [paragraph for number, paragraph in enumerate(paragraphs) if number % HELD_OUT]
    tokenizer = train_tokenizer([sentence for paragraph in kept for sentence in paragraph])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(demo.seed)
        model = _new_model(demo, vocabulary=len(tokenizer), pad=tokenizer.pad_token_id)
        untrained = _measure(model, tokenizer, held_out)
        _fit(model, tokenizer, kept, steps=demo.encoder_steps, seed=demo.seed)
    metrics = {
        **_measure(model, tokenizer, held_out),
        "untrained": untrained,
        "steps": demo.encoder_steps,
        "paragraphs": len(paragraphs),
        "vocabulary": len(tokenizer),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seed": demo.seed,
    }
    _save(model, tokenizer, metrics, output)
    return metrics


def train_tokenizer(sentences: list[str]) -> Any:
    """A lower-casing WordPiece tokenizer (BERT's) with at most `VOCABULARY` pieces; `[PAD]` is id 0."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = [word for s in sentences for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(s))]
    ids = {piece: number for number, piece in enumerate(_pieces(words))}
    pieces = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    pieces.normalizer, pieces.pre_tokenizer, pieces.decoder = normalizer, splitter, decoders.WordPiece()
    ends = [(token, ids[token]) for token in ("[CLS]", "[SEP]")]
    pieces.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    names = ["input_ids", "attention_mask"]  # DistilBERT takes no token types
    new_tokenizer: Any = PreTrainedTokenizerFast
    return new_tokenizer(tokenizer_object=pieces, model_input_names=names, model_max_length=POSITIONS, **_SPECIAL)


def _pieces(words: list[str]) -> list[str]:
    """Special tokens, every character (at the start and inside of a word), then words by falling frequency.

    The trainer of `tokenizers` breaks ties by the order of a hash table, so its vocabulary changes from run to run.
    """
    letters = sorted(set(string.ascii_lowercase + string.digits).union(*words))
    inside = [f"##{letter}" for letter in letters]
    counts = Counter(words)
    frequent = sorted(counts, key=lambda word: (-counts[word], word))
    return list(dict.fromkeys([*_SPECIAL.values(), *letters, *inside, *frequent]))[:VOCABULARY]


def _new_model(demo: Demo, *, vocabulary: int, pad: int) -> Any:
    from transformers import DistilBertConfig, DistilBertModel

    heads = max(1, demo.encoder_dim // 32)
    if demo.encoder_dim % heads:
        raise CpdError(f"demo.encoder_dim is {demo.encoder_dim}", hint="give a multiple of 32")
    config = DistilBertConfig(
        vocab_size=vocabulary,
        dim=demo.encoder_dim,
        hidden_dim=4 * demo.encoder_dim,
        n_layers=demo.encoder_layers,
        n_heads=heads,
        max_position_embeddings=POSITIONS,
        pad_token_id=pad,
    )
    return DistilBertModel(config)


def _fit(model: Any, tokenizer: Any, paragraphs: list[Paragraph], *, steps: int, seed: int) -> None:
    """AdamW, linear warm-up over a tenth of the steps, then cosine to 0."""
    from transformers import get_cosine_schedule_with_warmup

    rng = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = get_cosine_schedule_with_warmup(optimizer, max(1, steps // 10), steps)
    model.train()
    for _ in tqdm(range(steps), desc="demo-encoder", unit="step", disable=None):
        chosen = torch.randperm(len(paragraphs), generator=rng)[:BATCH].tolist()
        logits_BB = _logits(model, tokenizer, [paragraphs[i] for i in chosen])
        loss = _neighbour_loss(logits_BB)
        if not torch.isfinite(loss):
            raise CpdError("demo-encoder: the loss is not finite", hint="check paragraphs.txt and demo.encoder_dim")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


@torch.no_grad()
def _measure(model: Any, tokenizer: Any, paragraphs: list[Paragraph]) -> dict[str, float]:
    model.eval()
    loss, found = 0.0, 0
    for start in range(0, len(paragraphs), BATCH):
        logits_BB = _logits(model, tokenizer, paragraphs[start : start + BATCH])
        loss += float(_neighbour_loss(logits_BB)) * len(logits_BB)
        found += int((logits_BB.argmax(1) == torch.arange(len(logits_BB))).sum())
    return {"loss": loss / len(paragraphs), "top1": 100 * found / len(paragraphs)}


def _logits(model: Any, tokenizer: Any, paragraphs: list[Paragraph]) -> Tensor:
    """(B, B): cosine of every first sentence with every second one, over tau."""
    first_BE, second_BE = (_features(model, tokenizer, list(side)) for side in zip(*paragraphs, strict=True))
    return first_BE @ second_BE.T / TAU


def _features(model: Any, tokenizer: Any, sentences: list[str]) -> Tensor:
    """Unit rows (B, E): the mean over tokens that are no padding, as the text tower takes it."""
    tokens = tokenizer(sentences, padding=True, truncation=True, return_tensors="pt")
    weight_BT1 = tokens["attention_mask"].unsqueeze(-1)
    return functional.normalize((model(**tokens).last_hidden_state * weight_BT1).sum(1), dim=1)


def _neighbour_loss(logits_BB: Tensor) -> Tensor:
    """Quick-Thoughts, equation 2, in both directions; nats."""
    own_B = torch.arange(len(logits_BB))
    return (functional.cross_entropy(logits_BB, own_B) + functional.cross_entropy(logits_BB.T, own_B)) / 2


def _save(model: Any, tokenizer: Any, metrics: dict[str, Any], output: str | Path) -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with whole_folder(output) as folder:
        with disk_errors(output):
            model.save_pretrained(folder)
        give_usual_mode(folder / "model.safetensors")
        tokenizer.save_pretrained(folder)
        write_json(folder / "metrics.json", metrics)


def _read_paragraphs(path: Path) -> list[Paragraph]:
    hint = "`cpd demo-corpus` writes it"
    if not path.is_file():
        raise CpdError(f"{path}: no such file", hint=hint)
    rows = [tuple(line.split("\t")) for line in path.read_text().split("\n") if line.strip()]
    for number, row in enumerate(rows, start=1):
        if len(row) != SENTENCES:
            raise CpdError(f"{path}: paragraph {number} is not two sentences parted by a tab", hint=hint)
    if len(rows) < 2 * HELD_OUT:
        raise CpdError(f"{path}: {len(rows)} paragraphs, and {2 * HELD_OUT} are needed", hint=hint)
    return [(row[0], row[1]) for row in rows]

"""Train the demo's text encoder: a small DistilBERT, by masked language modelling on the demo's own titles.

Shapes: B sentences, T tokens.
"""

from __future__ import annotations

import string
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from cpd.errors import CpdError
from cpd.fileio import write_json
from cpd.text.folders import whole_folder

if TYPE_CHECKING:
    from cpd.config import Demo

VOCABULARY = 2000
POSITIONS = 128
BATCH = 64
HELD_OUT = 10  # one sentence in ten is for the metric
_SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def train(demo: Demo, output: str | Path) -> dict[str, Any]:
    """Train on `{demo.folder}/titles.txt` (one sentence a line) and save a transformers folder to `output`.

    The same seed, sentences and number of threads give the same weights.

    Returns:
        What is written to metrics.json: `mlm_loss` (nats per masked token on held-out sentences), before and after.

    Raises:
        CpdError: there are no titles, or `encoder_dim` does not fit.
    """
    sentences = _read_sentences(Path(demo.folder) / "titles.txt")
    held_out = sentences[::HELD_OUT]
    kept = [sentence for number, sentence in enumerate(sentences) if number % HELD_OUT] or sentences
    tokenizer = train_tokenizer(kept)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(demo.seed)
        model = _new_model(demo, vocabulary=len(tokenizer), pad=tokenizer.pad_token_id)
        before = mlm_loss(model, tokenizer, held_out)
        _fit(model, tokenizer, kept, steps=demo.encoder_steps, seed=demo.seed)
    metrics = {
        "mlm_loss": mlm_loss(model, tokenizer, held_out),
        "mlm_loss_untrained": before,
        "steps": demo.encoder_steps,
        "sentences": len(sentences),
        "vocabulary": len(tokenizer),
        "parameters": sum(p.numel() for p in model.distilbert.parameters()),
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
    from transformers import DistilBertConfig, DistilBertForMaskedLM

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
    return DistilBertForMaskedLM(config)


def _collator(tokenizer: Any, *, seed: int) -> Any:
    """BERT's masking: 15 % of the tokens; of these 80 % become [MASK], 10 % another token, 10 % stay."""
    from transformers import DataCollatorForLanguageModeling

    return DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm_probability=0.15, seed=seed)


def _fit(model: Any, tokenizer: Any, sentences: list[str], *, steps: int, seed: int) -> None:
    """AdamW, linear warm-up over a tenth of the steps, then cosine to 0."""
    from transformers import get_cosine_schedule_with_warmup

    ids = _encoded(tokenizer, sentences)
    collate = _collator(tokenizer, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = get_cosine_schedule_with_warmup(optimizer, max(1, steps // 10), steps)
    model.train()
    for _ in tqdm(range(steps), desc="demo-encoder", unit="step", disable=None):
        chosen = torch.randint(len(ids), (BATCH,), generator=rng).tolist()
        loss = model(**collate([ids[i] for i in chosen])).loss
        if not torch.isfinite(loss):
            raise CpdError("demo-encoder: the loss is not finite", hint="check titles.txt and demo.encoder_dim")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def mlm_loss(model: Any, tokenizer: Any, sentences: list[str]) -> float:
    """Mean cross-entropy over masked tokens, with the same masks at every call."""
    model.eval()
    ids = _encoded(tokenizer, sentences)
    collate = _collator(tokenizer, seed=0)
    total, count = 0.0, 0
    for start in range(0, len(ids), BATCH):
        batch = collate(ids[start : start + BATCH])
        masked = int((batch["labels"] != -100).sum())
        total += float(model(**batch).loss) * masked if masked else 0.0
        count += masked
    if not count:
        raise CpdError("demo-encoder: too few titles to measure the loss on", hint="raise demo.train")
    return total / count


def _encoded(tokenizer: Any, sentences: list[str]) -> list[dict[str, list[int]]]:
    rows: list[list[int]] = tokenizer(sentences, truncation=True)["input_ids"]
    return [{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows]


def _save(model: Any, tokenizer: Any, metrics: dict[str, Any], output: str | Path) -> None:
    """The encoder alone: `AutoModel` needs no masked-word head."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with whole_folder(output) as folder:
        model.distilbert.save_pretrained(folder)
        (folder / "model.safetensors").chmod(0o644)  # written for its owner alone
        tokenizer.save_pretrained(folder)
        write_json(folder / "metrics.json", metrics)


def _read_sentences(path: Path) -> list[str]:
    if not path.is_file():
        raise CpdError(f"{path}: no such file", hint="`cpd demo-corpus` writes it")
    sentences = [line.strip() for line in path.read_text().split("\n") if line.strip()]
    if not sentences:
        raise CpdError(f"{path}: no titles in it", hint="`cpd demo-corpus` writes it")
    return sentences

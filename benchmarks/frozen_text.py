"""What a frozen language model costs a training step: encoded live beside features computed once.

The encoder has DistilBERT's size and random weights; titles are of three to fifteen words.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import DistilBertConfig, DistilBertModel

from benchmarks.harness import Options, Way, gain, measure
from benchmarks.record import Findings
from cpd.models.text_tower import TextTower
from cpd.text.demo_encoder import train_tokenizer

TITLE = "Frozen language model: encoded once"
READ, LIVE = "features computed once, read", "encoded live"
WORDS = (("a", "the", "my"), ("red", "small", "spinning", "old"), ("dog", "ball", "star", "man"), ("jumps", "rolls"))


def titles(n: int) -> list[str]:
    """N titles of three to fifteen words."""
    generator = torch.Generator().manual_seed(0)
    words = [word for group in WORDS for word in group]
    lengths = torch.randint(3, 16, (n,), generator=generator).tolist()
    return [" ".join(words[i] for i in torch.randint(len(words), (k,), generator=generator)) for k in lengths]


def tower_files(folder: Path, texts: list[str], *, layers: int, width: int) -> None:
    """A DistilBERT of some size, untrained, in transformers' format."""
    tokenizer = train_tokenizer(texts)
    config = DistilBertConfig(vocab_size=len(tokenizer), dim=width, hidden_dim=4 * width, n_layers=layers)
    DistilBertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def run(options: Options) -> Findings:
    """The text side of one step."""
    n, batch, layers, width = (32, 4, 1, 24) if options.quick else (256, 64, 6, 768)
    texts = titles(n)
    tower_files(options.work, texts, layers=layers, width=width)
    model = TextTower.from_path(options.work, max_tokens=64).eval()
    features_NE = model.encode(texts)
    index_B = torch.randint(n, (batch,))
    some = [texts[i] for i in index_B.tolist()]

    def live(number: int) -> torch.Tensor:
        with torch.no_grad():
            out: torch.Tensor = model(**model.tokenize(some))
        return out

    apart = float((live(0) - features_NE[index_B]).abs().max())
    assert apart < 1e-4, f"features apart by {apart}"
    ways = [
        Way(name=READ, side="ours", run=lambda number: features_NE[index_B]),
        Way(name=LIVE, side="obvious", run=live),
    ]
    table = measure("The text side of a step", ways, rounds=options.rounds(4))
    return Findings(
        title=TITLE,
        about=f"{layers} layers of {width}, batches of {batch}",
        tables=(table,),
        targets=(gain(table, what="stage I, text side", against=LIVE, ours=READ, other=LIVE, at_least=None),),
    )

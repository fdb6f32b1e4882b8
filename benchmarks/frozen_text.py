"""What a frozen language model costs a training step: encoded live beside features computed once.

python -m benchmarks.frozen_text [--titles 2000] [--batch 64] [--layers 6] [--width 768]

The encoder has DistilBERT's size and random weights; titles are the demo grammar's. CPU times, interleaved.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import DistilBertConfig, DistilBertModel

from cpd.models.text_tower import TextTower
from cpd.text.demo_encoder import train_tokenizer

WORDS = (("a", "the", "my"), ("red", "small", "spinning", "old"), ("dog", "ball", "star", "man"), ("jumps", "rolls"))


def titles(n: int) -> list[str]:
    """N titles of three to fifteen words."""
    generator = torch.Generator().manual_seed(0)
    words = [word for group in WORDS for word in group]
    lengths = torch.randint(3, 16, (n,), generator=generator).tolist()
    return [" ".join(words[i] for i in torch.randint(len(words), (k,), generator=generator)) for k in lengths]


def tower(texts: list[str], *, layers: int, width: int) -> TextTower:
    """A DistilBERT of some size, untrained."""
    tokenizer = train_tokenizer(texts)
    config = DistilBertConfig(vocab_size=len(tokenizer), dim=width, hidden_dim=4 * width, n_layers=layers)
    with tempfile.TemporaryDirectory() as folder:
        DistilBertModel(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return TextTower.from_path(Path(folder), max_tokens=64).eval()


def cpu_ms(work: Callable[[], torch.Tensor]) -> float:
    """CPU time of some work."""
    start = time.process_time()
    work()
    return 1000 * (time.process_time() - start)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--titles", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds")
    args = parser.parse_args()
    torch.set_num_threads(1)
    texts = titles(args.titles)
    model = tower(texts, layers=args.layers, width=args.width)
    batches = [torch.randint(len(texts), (args.batch,)) for _ in range(args.rounds)]
    with torch.no_grad():
        start = time.process_time()
        features_NE = model.encode(texts)
        once = time.process_time() - start
        live = [cpu_ms(lambda i=i: model(**model.tokenize([texts[k] for k in i]))) for i in batches]  # type: ignore[misc]
        read = [cpu_ms(lambda i=i: features_NE[i]) for i in batches]  # type: ignore[misc]
        apart = max(
            float((model(**model.tokenize([texts[k] for k in i])) - features_NE[i]).abs().max()) for i in batches[:1]
        )
    epoch = statistics.median(live) / 1000 * len(texts) / args.batch
    print(
        f"{args.layers} layers, width {args.width}, {len(texts)} titles, batch {args.batch}, torch {torch.__version__}"
    )
    print("| text side of a step | CPU ms: median | min | max |\n|---|---:|---:|---:|")
    for name, values in (("encoded live, frozen", live), ("computed once, read", read)):
        print(f"| {name} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |")
    print(
        f"\nall titles once: {once:.1f} CPU s; an epoch of live encoding: {epoch:.1f} CPU s; values apart {apart:.0e}"
    )


if __name__ == "__main__":
    main()

"""k nearest neighbours by cosine: chunked over both sides, beside the obvious forms. `python -m benchmarks run knn`.

At the paper's size once, from a features file on the disk (2 GB, an hour of a slow core), in a process of its own:

  python -m benchmarks.knn FOLDER                                  240,000 x 20,000 x 2,048
  python -m benchmarks.knn FOLDER --train 60000 --test 2000 --dim 512
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks import peers
from benchmarks.harness import Options, Way, gain, measure, median, ratios, row
from benchmarks.memory import peak, resident
from benchmarks.record import Findings, Table, Target
from cpd.config import Knn
from cpd.evaluate import features, knn
from cpd.evaluate.neighbours import memory, nearest

OURS, WHOLE, LOOP = "chunked, exact", "whole matrix", "query by query, sorted"
PRODUCTS = BY_TORCH, BY_NUMPY = "matrix product by torch", "matrix product by numpy"
FAISS, FILLED = "faiss, flat", "faiss, its index filled before"
K, CLASSES, LIMIT = 25, 400, 4 * 2**30


def run(options: Options) -> Findings:
    """Time in one table, memory as a target."""
    train, test, dim = (3000, 50, 64) if options.quick else (240_000, 512, 2048)  # the paper's gallery
    train_ND, test_QD = rows(train, dim, seed=0), rows(test, dim, seed=1)
    few_QD = test_QD[: max(1, test // 32)]
    held = peak(lambda: nearest(train_ND, test_QD, k=K))  # before others leave the allocator memory to take again
    ways = [
        Way(name=OURS, side="ours", run=lambda number: nearest(train_ND, test_QD, k=K)),
        Way(name=WHOLE, side="obvious", run=lambda number: whole(train_ND, test_QD)),
        Way(name=BY_TORCH, side="limit", run=by_torch(train_ND, test_QD)),
        Way(name=BY_NUMPY, side="limit", run=by_numpy(train_ND, test_QD)),
        *_faiss(train_ND, test_QD),
    ]
    rounds = options.rounds(7)
    table = measure("All queries", ways, rounds=rounds, unit="CPU ms a query", work=test)
    loops = [
        Way(name=OURS, side="ours", run=lambda number: nearest(train_ND, few_QD, k=K)),
        Way(name=LOOP, side="obvious", run=lambda number: loop(train_ND, few_QD)),
    ]
    few = measure("A few queries", loops, rounds=rounds, unit="CPU ms a query", work=len(few_QD))
    limit = min(PRODUCTS, key=lambda name: median(row(table, name).values))
    alone = _beside_filled(table, limit)
    bound = memory(train=train, test=test, dim=dim, k=K)
    return Findings(
        title="k-NN: exact, in bounded memory",
        about=f"{train:,} x {test:,} x {dim:,} in fp32, k = {K}",
        tables=(table, few),
        targets=(
            gain(table, what="exact k-NN", against=f"{limit} alone", ours=OURS, other=limit, at_least=0.9),
            gain(table, what="exact k-NN", against="faiss-cpu, flat", ours=OURS, other=FAISS, at_least=1.0, note=alone),
            gain(few, what="exact k-NN", against="one query after another", ours=OURS, other=LOOP, at_least=None),
            Target(
                what="memory beside the features, as a share of the bound",
                against=f"the bound, {bound / 2**20:.0f} MiB",
                values=(held / bound,),
                at_most=1.0,
            ),
        ),
    )


def _beside_filled(table: Table, limit: str) -> str:
    """What the ratio to faiss is made of."""
    if not row(table, FAISS).values:
        return ""
    ours, product = (median(ratios(table, FILLED, side)) for side in (OURS, limit))
    return f"with its index filled before: {ours:.2f} x, where the product alone is {product:.2f} x"


def rows(n: int, dim: int, *, seed: int) -> Tensor:
    """Random features (N, D)."""
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def by_torch(train_ND: Tensor, test_QD: Tensor) -> Callable[[int], object]:
    """The one matrix product that no way does without, of rows as they lie in memory."""
    out_QN = torch.empty(len(test_QD), len(train_ND))
    return lambda number: torch.mm(test_QD, train_ND.T, out=out_QN)


def by_numpy(train_ND: Tensor, test_QD: Tensor) -> Callable[[int], object]:
    """The same by another BLAS: which is faster depends on the processor."""
    out_QN = np.empty((len(test_QD), len(train_ND)), np.float32)
    return lambda number: np.matmul(test_QD.numpy(), train_ND.numpy().T, out=out_QN)


def whole(train_ND: Tensor, test_QD: Tensor) -> Tensor:
    """Rows of the k nearest (Q, k) by one Q x N matrix."""
    return (normalize(test_QD, dim=1) @ normalize(train_ND, dim=1).T).topk(K, dim=1).indices


def loop(train_ND: Tensor, test_QD: Tensor) -> Tensor:
    """The same one query at a time, sorting everything."""
    train_ND = normalize(train_ND, dim=1)
    return torch.stack([(train_ND @ query_D).argsort(descending=True)[:K] for query_D in normalize(test_QD, dim=1)])


def _faiss(train_ND: Tensor, test_QD: Tensor) -> list[Way]:
    """All its work; and its search alone, which is what remains of it beside very many queries."""
    faiss = peers.load("faiss")
    if isinstance(faiss, str):
        return [Way(name=FAISS, side="peer", absent=faiss)]

    def fill() -> Any:
        index = faiss.IndexFlatIP(train_ND.shape[1])
        index.add(normalize(train_ND, dim=1).numpy())
        return index

    def search(index: Any) -> object:
        return index.search(normalize(test_QD, dim=1).numpy(), K)

    filled = fill()
    return [
        Way(name=FAISS, side="peer", run=lambda number: search(fill())),
        Way(name=FILLED, side="peer", run=lambda number: search(filled)),
    ]


def write_features(path: Path, n: int, dim: int, *, seed: int) -> None:
    """A features file of random res5 and labels."""
    made = features.Features(
        emb_ND=torch.empty(n, 0),
        res5_NF=rows(n, dim, seed=seed),
        text_ND=torch.empty(0, 0),
        keys=[f"{seed}-{i}" for i in range(n)],
        labels=[f"class {i * 7919 % CLASSES}" for i in range(n)],
        titles=[""] * n,
        folds=[{}] * n,
        failed=[],
        provenance={"random": seed},
    )
    features.save(path, made)


def measure_files(train: Path, test: Path) -> dict[str, float]:
    """Classify by files alone; seconds, and this process's peak in GiB, which holds pages of the mapped files, too."""
    base = resident()
    started, cpu = time.monotonic(), time.process_time()
    seen, asked = features.load(train), features.load(test)
    ranked = knn.classify(seen.res5_NF, seen.labels, asked.res5_NF, Knn(k=K))
    wall, cpu = time.monotonic() - started, time.process_time() - cpu
    n, dim = seen.res5_NF.shape
    bound = memory(train=n, test=len(asked), dim=dim, k=K)
    mapped = 4 * dim * (n + len(asked))
    return {
        "train": n,
        "test": len(ranked),
        "dim": dim,
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "gflop_per_second": round(2 * n * len(ranked) * dim / cpu / 1e9, 1),
        "peak_gib": round(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30, 3),
        "base_gib": round(base / 2**30, 3),
        "mapped_gib": round(mapped / 2**30, 3),
        "bound_gib": round(bound / 2**30, 3),
    }


def main() -> None:
    """Write two files in one process, then measure in another that never held them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.knn", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="for the two files, which stay")
    parser.add_argument("--train", type=int, default=240_000)
    parser.add_argument("--test", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--step", choices=("write", "measure"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    train, test = args.folder / "train.safetensors", args.folder / "test.safetensors"
    if args.step == "write":
        write_features(train, args.train, args.dim, seed=0)
        write_features(test, args.test, args.dim, seed=1)
    elif args.step == "measure":
        print(json.dumps(measure_files(train, test), indent=1))
    else:  # a child inherits its parent's peak (getrusage), so the parent holds nothing
        for step in ("write", "measure"):
            subprocess.run([sys.executable, "-m", "benchmarks.knn", *sys.argv[1:], "--step", step], check=True)


if __name__ == "__main__":
    main()

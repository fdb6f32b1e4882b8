"""Time the objectives against the obvious way to write them; medians of interleaved rounds, in CPU milliseconds.

python -m benchmarks [--pairs 50000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from benchmarks import obvious
from cpd.objectives import cross_pair

DIM, BATCH, NOISE, TAU = 256, 64, 4096, 0.07


def contenders(pairs: int) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """Name -> loss of the query features, ours beside the obvious one."""
    generator = torch.Generator().manual_seed(0)
    bank_ND = torch.nn.functional.normalize(torch.randn(pairs, DIM, generator=generator), dim=1)
    index_B = torch.randint(pairs, (BATCH,), generator=generator)
    noise_BM = torch.randint(pairs, (BATCH, NOISE), generator=generator)
    group_N = torch.arange(pairs) // 2  # every title is that of two pairs
    return {
        "exact softmax, streamed (cpd)": lambda f: cross_pair.exact_loss(f, bank_ND, index_B, tau=TAU),
        "exact softmax, equal titles masked (cpd)": lambda f: cross_pair.exact_loss(
            f, bank_ND, index_B, tau=TAU, group_N=group_N
        ),
        "exact softmax, materialised": lambda f: obvious.exact_loss(f, bank_ND, index_B, tau=TAU),
        "NCE, row by row (cpd)": lambda f: cross_pair.nce_loss(f, bank_ND, index_B, noise_BM, tau=TAU, log_z=0.0),
        "NCE, equal titles masked (cpd)": lambda f: cross_pair.nce_loss(
            f, bank_ND, index_B, noise_BM, tau=TAU, log_z=0.0, group_N=group_N
        ),
        "NCE, gathered": lambda f: obvious.nce_loss(f, bank_ND, index_B, noise_BM, tau=TAU, log_z=0.0),
    }


def cpu_ms(loss: Callable[[torch.Tensor], torch.Tensor], f_BD: torch.Tensor) -> float:
    """CPU time of one forward and backward pass."""
    f_BD = f_BD.clone().requires_grad_()
    start = time.process_time()
    loss(f_BD).backward()
    return 1000 * (time.process_time() - start)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=50_000, help="rows of the bank")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds")
    args = parser.parse_args()
    torch.set_num_threads(1)
    losses = contenders(args.pairs)
    f_BD = torch.nn.functional.normalize(torch.randn(BATCH, DIM), dim=1)
    times: dict[str, list[float]] = {name: [] for name in losses}
    for _ in range(args.rounds + 1):
        for name, loss in losses.items():
            times[name].append(cpu_ms(loss, f_BD))
    print(f"N={args.pairs} d={DIM} B={BATCH} m={NOISE}, one direction, forward + backward, torch {torch.__version__}")
    print("| loss | CPU ms: median | min | max |\n|---|---:|---:|---:|")
    for name, values in times.items():
        counted = values[1:]
        print(f"| {name} | {statistics.median(counted):.1f} | {min(counted):.1f} | {max(counted):.1f} |")


if __name__ == "__main__":
    main()

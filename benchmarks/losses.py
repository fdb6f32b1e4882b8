"""The cross-pair losses against the bank, forward and backward, one direction, one thread.

python -m benchmarks.losses --device cuda [--pairs 210000]      fp32 banks, and bf16 banks by fused attention

The obvious ones are what the authors' code does (gather B x (m + 1) rows) and what a textbook does (a B x N matrix).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import torch
from torch.nn.functional import normalize

from benchmarks import limits, obvious, peers
from benchmarks.backbones import gpu_seconds
from benchmarks.harness import Options, Way, cpu_seconds, gain, line, measure, median, ratios, row
from benchmarks.memory import peak
from benchmarks.record import Chart, Findings, Table, Target
from benchmarks.report import table_lines
from cpd.models.resnet3d import slow_resnet
from cpd.objectives import cross_pair
from cpd.objectives.banks import DTYPES

TITLE = "Losses: every row of the bank, without holding it twice"
BATCH, DIM, TAU = 64, 256, 0.07
SMALL, LARGE = 4096, 16392  # m of the authors' default, and of their runs
EXACT, NCE, NCE_LARGE = "exact softmax, streamed", f"NCE m={SMALL}, row by row", f"NCE m={LARGE}, row by row"
GATHERED, GATHERED_LARGE = f"NCE m={SMALL}, gathered", f"NCE m={LARGE}, gathered"
PRODUCTS = "its two matrix products alone"
SAME = "gathered NCE, the same noise"
STEP = "R34 forward + backward, 8x112x112, a clip"

Loss = Callable[[torch.Tensor], torch.Tensor]


class Problem:
    """A bank, a batch and noise of a fixed seed."""

    def __init__(self, pairs: int, *, batch: int = BATCH, device: str = "cpu", precision: str = "fp32") -> None:
        seeded = torch.Generator().manual_seed(0)
        self.bank_ND = normalize(torch.randn(pairs, DIM, generator=seeded), dim=1).to(device, DTYPES[precision])
        self.f_BD = normalize(torch.randn(batch, DIM, generator=seeded), dim=1).to(device)
        self.index_B = torch.randint(pairs, (batch,), generator=seeded).to(device)
        self.noise_BM = torch.randint(pairs, (batch, LARGE), generator=seeded).to(device)
        self.group_N = torch.arange(pairs, device=device) // 2  # every title is that of two pairs

    def exact(self, *, masked: bool = False) -> Callable[[int], object]:
        """Equation 3, ours."""
        group_N = self.group_N if masked else None
        return self.both_passes(
            lambda f_BD: cross_pair.exact_loss(f_BD, self.bank_ND, self.index_B, tau=TAU, group_N=group_N)
        )

    def materialised(self) -> Callable[[int], object]:
        """Equation 3, by cross-entropy."""
        return self.both_passes(lambda f_BD: obvious.exact_loss(f_BD, self.bank_ND, self.index_B, tau=TAU))

    def nce(self, m: int, *, masked: bool = False) -> Callable[[int], object]:
        """Equation 5, ours."""
        noise_BM, group_N = self.noise_BM[:, :m], self.group_N if masked else None
        return self.both_passes(
            lambda f_BD: cross_pair.nce_loss(
                f_BD, self.bank_ND, self.index_B, noise_BM, tau=TAU, log_z=0.0, group_N=group_N
            )
        )

    def gathered(self, m: int) -> Callable[[int], object]:
        """Equation 5, as the authors' code computes it."""
        noise_BM = self.noise_BM[:, :m]
        return self.both_passes(
            lambda f_BD: obvious.nce_loss(f_BD, self.bank_ND, self.index_B, noise_BM, tau=TAU, log_z=0.0)
        )

    def products(self, number: int) -> object:
        """What the exact softmax cannot do without: scores, and a weighted sum of rows, while the rows are in cache."""
        sum_BD = torch.zeros_like(self.f_BD)
        for rows_KD in self.bank_ND.split(2048):
            torch.addmm(sum_BD, self.f_BD @ rows_KD.T, rows_KD, out=sum_BD)
        return sum_BD

    def both_passes(self, loss: Loss) -> Callable[[int], object]:
        """Forward and backward."""

        def run(number: int) -> object:
            f_BD = self.f_BD.clone().requires_grad_()
            loss(f_BD).backward()
            return f_BD.grad

        return run


def run(options: Options) -> Findings:
    """Time and memory."""
    problem = Problem(1000, batch=2) if options.quick else Problem(210_000)
    table = _times(problem, options)
    return Findings(
        title=TITLE,
        about=f"N = {len(problem.bank_ND):,}, d = {DIM}, B = {len(problem.f_BD)}, forward + backward, one direction",
        tables=(table,),
        targets=tuple(_targets(table)),
        charts=(_memory(problem, options),),
    )


def _times(problem: Problem, options: Options) -> Table:
    ways = [
        Way(name=EXACT, side="ours", run=problem.exact()),
        Way(name="exact softmax, equal titles masked", side="ours", run=problem.exact(masked=True)),
        Way(name="exact softmax, B x N matrix", side="obvious", run=problem.materialised()),
        _lightly(problem),
        Way(name=PRODUCTS, side="limit", run=problem.products),
        Way(name=NCE, side="ours", run=problem.nce(SMALL)),
        Way(name=f"NCE m={SMALL}, equal titles masked", side="ours", run=problem.nce(SMALL, masked=True)),
        Way(name=GATHERED, side="obvious", run=problem.gathered(SMALL)),
        Way(
            name="its rows read once", side="limit", run=limits.read_once(4 * problem.noise_BM[:, :SMALL].numel() * DIM)
        ),
        Way(name=NCE_LARGE, side="ours", run=problem.nce(LARGE)),
        Way(name=GATHERED_LARGE, side="obvious", run=problem.gathered(LARGE)),
        Way(name=STEP, side="other", run=_backbone(options)),
    ]
    return measure("Loss", ways, rounds=options.rounds(4))


def _lightly(problem: Problem) -> Way:
    """lightly's InfoNCE with a memory bank: the same B x N logits, negatives kept as columns."""
    name = "lightly NTXentLoss, memory bank"
    module = peers.load("lightly.loss")
    if isinstance(module, str):
        return Way(name=name, side="peer", absent=module)
    loss = module.NTXentLoss(temperature=TAU, memory_bank_size=tuple(problem.bank_ND.shape))
    loss.memory_bank.bank = problem.bank_ND.clone()  # it writes the batch into its bank
    positive_BD = problem.bank_ND[problem.index_B]
    return Way(name=name, side="peer", run=problem.both_passes(lambda f_BD: loss(f_BD, positive_BD)))


def _backbone(options: Options) -> Callable[[int], object]:
    network = slow_resnet(10, width=4) if options.quick else slow_resnet(34)
    size = 32 if options.quick else 112
    x_BCTHW = torch.randn(1, 3, 8, size, size)
    return lambda number: network(x_BCTHW).square().sum().backward()


def _targets(table: Table) -> list[Target]:
    share = [
        100 * 2 * loss / (BATCH * step)
        for loss, step in zip(row(table, EXACT).values, row(table, STEP).values, strict=True)
    ]
    return [
        gain(table, what=NCE, against=SAME, ours=NCE, other=GATHERED, at_least=3),
        gain(table, what=NCE_LARGE, against=SAME, ours=NCE_LARGE, other=GATHERED_LARGE, at_least=3),
        gain(table, what=EXACT, against=f"gathered NCE, m = {SMALL}", ours=EXACT, other=GATHERED, at_least=1),
        gain(
            table,
            what=EXACT,
            against=f"gathered NCE, m = {LARGE}",
            ours=EXACT,
            other=GATHERED_LARGE,
            at_least=8,
            note=f"its two matrix products alone: {median(ratios(table, GATHERED_LARGE, PRODUCTS)):.1f} x",
        ),
        Target(
            what="exact softmax, both directions",
            against="forward and backward of R34 on the same batch",
            values=tuple(share),
            at_most=1,
            suffix=" %",
        ),
    ]


def _memory(problem: Problem, options: Options) -> Chart:
    """Peak memory as m grows."""
    sizes = (16, 32) if options.quick else (1024, 2048, 4096, 8192)
    ways = {"row by row (ours)": problem.nce, "gathered (obvious)": problem.gathered}
    lines = []
    for name, way in ways.items():
        problem_of = [way(m) for m in sizes]
        problem_of[0](0)
        # a buffer that is used again asks for nothing: what is under 1 MB is drawn as that
        y = tuple(max(peak(lambda work=work: work(0)) / 1e6, 1.0) for work in problem_of)  # type: ignore[misc]
        lines.append(line(name, sizes, y))
    return Chart(title="Memory of NCE", x="noise rows m", y="peak MB above the bank", lines=tuple(lines))


def on_device(device: str, *, pairs: int, batch: int, rounds: int) -> Table:
    """The same on one device, with banks in both precisions."""
    whole, half = (Problem(pairs, batch=batch, device=device, precision=name) for name in ("fp32", "bf16"))
    fused = "as fused attention" if device == "cuda" else "streamed"
    ways = [
        Way(name=f"{EXACT}, fp32 bank", side="ours", run=whole.exact()),
        Way(name=f"exact softmax, {fused}, bf16 bank", side="ours", run=half.exact()),
        Way(name="exact softmax, B x N matrix", side="obvious", run=whole.materialised()),
        Way(name=NCE, side="ours", run=whole.nce(SMALL)),
        Way(name=GATHERED, side="obvious", run=whole.gathered(SMALL)),
    ]
    clock, unit = (gpu_seconds, "ms") if device == "cuda" else (cpu_seconds, "CPU ms")
    return measure(f"Loss, {device}", ways, rounds=rounds, unit=unit, clock=clock)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table of one device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--pairs", type=int, default=210_000, help="rows of the bank")
    parser.add_argument("--batch", type=int, default=BATCH, help="anchors")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(argv)
    print("\n".join(table_lines(on_device(args.device, pairs=args.pairs, batch=args.batch, rounds=args.rounds))))


if __name__ == "__main__":
    main()

"""A forward and backward pass of the backbone in each formulation, a gemm of the same machine beside them.

python -m benchmarks.backbones --device cuda --precision bf16 --batch 32 [--depth 50 --size 224] [--compile]

Every formulation holds the same weights; outputs and gradients are compared with the plain one's before anything is
timed (in double precision). On a CPU the times are CPU time, so that other work on the machine counts less.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import peers
from benchmarks.harness import Options, Way, cpu_seconds, gain, measure, row
from benchmarks.record import Findings, Table, Target
from benchmarks.report import table_lines
from cpd.models.resnet3d import SlowResNet, slow_resnet

TITLE = "Backbone: forward and backward"
FORMULATIONS = {
    "conv3d (plain)": {},
    "conv3d, channels last": {"channels_last": True},
    "folded": {"folded": True},
    "folded, channels last": {"folded": True, "channels_last": True},
}
GEMM = 2048  # rows and columns of the matrix product
LIMIT = "as many multiply-adds in one large gemm"
BF16, COMPILED = "conv3d, bf16 autocast", "conv3d, torch.compile"  # the plain network, computed otherwise
TOLERANCE = 1e-9  # of the largest value, in double precision


def networks(depth: int, *, width: int) -> dict[str, SlowResNet]:
    """Name -> network; all hold the plain one's weights."""
    torch.manual_seed(0)
    plain = slow_resnet(depth, width=width).state_dict()
    found = {name: slow_resnet(depth, width=width, **options) for name, options in FORMULATIONS.items()}
    for network in found.values():
        network.load_state_dict(plain)
    return found


def step(network: Callable[[Tensor], Tensor], x_BCTHW: Tensor, precision: str) -> Tensor:
    """One forward and backward pass; the output."""
    with torch.autocast(x_BCTHW.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        out: Tensor = network(x_BCTHW)
    out.square().sum().backward()
    return out.detach()


def differences(depth: int, *, width: int) -> dict[str, float]:
    """Largest difference of outputs and gradients from the plain formulation, as a share of the largest value.

    In double precision and on small clips: in fp32 the gradients of a deep network at random weights differ between
    any two orders of summation, since a unit near zero passes its gradient or does not.
    """
    found = {name: network.double() for name, network in networks(depth, width=width).items()}
    x_BCTHW = torch.randn(2, 3, 4, 40, 33, dtype=torch.float64)
    results = {name: [step(network, x_BCTHW, "fp32"), *_gradients(network)] for name, network in found.items()}
    plain = results[next(iter(found))]
    return {name: max(_apart(*pair) for pair in zip(own, plain, strict=True)) for name, own in results.items()}


def _gradients(network: SlowResNet) -> list[Tensor]:
    return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-12))


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is timed: `batch` clips of `frames` x `size` x `size` through R`depth`.

    Attributes:
        compile: the fastest formulation under torch.compile, too.
        engines: the plain network in bf16 autocast and, at full width, under torch.compile, too.
    """

    depth: int
    size: int
    batch: int
    frames: int = 8
    width: int = 64
    rounds: int = 3
    device: str = "cpu"
    precision: str = "fp32"
    compile: bool = False
    engines: bool = False

    def clips(self) -> Tensor:
        """Pixels (B, 3, T, H, W)."""
        return torch.randn(self.batch, 3, self.frames, self.size, self.size, device=self.device)


PAPER = (Case(depth=34, size=112, batch=2, engines=True), Case(depth=50, size=224, batch=1))
QUICK = (Case(depth=10, size=16, batch=2, frames=2, width=4, rounds=1, engines=True),)


def run(options: Options) -> Findings:
    """The paper's two networks."""
    tables, targets = [], []
    for case in QUICK if options.quick else PAPER:
        check(case)
        table = timed(case)
        tables.append(table)
        targets += _targets(case, table)
    return Findings(
        title=TITLE,
        about="fp32 unless a row says bf16, one thread; outputs and gradients of the formulations are the plain one's "
        "to 1e-9 in double precision",
        tables=tuple(tables),
        targets=tuple(targets),
        notes=(
            "No formulation is promised to gain on a CPU: `of gemm` says how near the plain one is to the rate of one "
            "large matrix product.",
        ),
    )


def check(case: Case) -> None:
    """Refuse to time what is not one network."""
    apart = differences(case.depth, width=min(case.width, 16))
    odd = {name: value for name, value in apart.items() if value > TOLERANCE}
    assert not odd, f"not the same network: {odd}"


def timed(case: Case) -> Table:
    """Every formulation beside a gemm."""
    found: dict[str, Callable[[Tensor], Tensor]] = {
        name: network.to(case.device).train() for name, network in networks(case.depth, width=case.width).items()
    }
    if case.compile:
        found["folded, channels last, compiled"] = torch.compile(found["folded, channels last"])  # type: ignore[assignment]
    x_BCTHW = case.clips()
    ways = [
        Way(name=name, side="ours" if number else "obvious", run=lambda k, n=network: step(n, x_BCTHW, case.precision))
        for number, (name, network) in enumerate(found.items())
    ]
    ways += _engines(case, x_BCTHW)
    ways.append(_pytorchvideo(case, x_BCTHW))
    kind = torch.bfloat16 if case.precision == "bf16" else torch.float32
    side = 256 if case.width < 64 else GEMM
    square = torch.randn(side, side, device=case.device, dtype=kind)
    macs = giga_macs(slow_resnet(case.depth, width=case.width), x_BCTHW.cpu())
    rate = macs / (side**3 / 1e9)  # products of that size with as many multiply-adds

    def gemms(number: int) -> None:
        for _ in range(max(round(rate), 1)):
            torch.mm(square, square)

    ways.append(Way(name=LIMIT, side="limit", run=gemms))
    return measure(
        f"R{case.depth}, {case.frames} x {case.size} x {case.size}, {case.precision}, {case.device}",
        ways,
        rounds=case.rounds,
        unit="CPU ms a clip" if case.device == "cpu" else "ms a clip",
        work=case.batch,
        clock=cpu_seconds if case.device == "cpu" else gpu_seconds,
        note=f"{macs / case.batch:.1f} GMAC a clip.",
    )


def _engines(case: Case, x_BCTHW: Tensor) -> list[Way]:
    """The plain network in bf16 autocast and under torch.compile: what `train.precision` and `train.compile` set."""
    if not case.engines:
        return []
    plain = next(iter(networks(case.depth, width=case.width).values())).to(case.device).train()
    bf16 = Way(name=BF16, side="other", run=lambda k: step(plain, x_BCTHW, "bf16"))
    return [bf16, _compiled(case, x_BCTHW)]


def _compiled(case: Case, x_BCTHW: Tensor) -> Way:
    """Compiled here, before any round is timed; absent, with the reason, where inductor does not get there."""
    if case.width < 64:
        return Way(name=COMPILED, side="other", absent="left out of a smoke run: compiling takes a minute")
    from torch._dynamo.exc import TorchDynamoException  # both are seconds to import
    from torch._inductor.exc import CppCompileError

    network = next(iter(networks(case.depth, width=case.width).values())).to(case.device).train()
    compiled = torch.compile(network)
    start = time.perf_counter()
    try:
        step(compiled, x_BCTHW, case.precision)
    except (TorchDynamoException, CppCompileError) as error:
        reason = str(error).strip().partition("\n")[0].replace("|", "/")
        return Way(name=COMPILED, side="other", absent=f"inductor does not compile it here: {reason[:120]}")
    seconds = {"s to compile": time.perf_counter() - start}
    return Way(name=COMPILED, side="other", run=lambda k: step(compiled, x_BCTHW, case.precision), columns=seconds)


def _pytorchvideo(case: Case, x_BCTHW: Tensor) -> Way:
    """The public implementation of the same family; its Slow R50 alone has our shape."""
    name = "pytorchvideo, Slow R50"
    if case.depth != 50:
        return Way(name=name, side="peer", absent="it has no basic blocks: compared at depth 50 alone")
    module: Any = peers.load("pytorchvideo.models.resnet")
    if isinstance(module, str):
        return Way(name=name, side="peer", absent=module)
    temporal = ((1, 1, 1), (1, 1, 1), (3, 1, 1), (3, 1, 1))
    kernels = {"stem_conv_kernel_size": (1, 7, 7), "stage_conv_a_kernel_size": temporal}
    network = module.create_resnet(model_depth=50, head=None, **kernels).to(case.device).train()
    return Way(name=name, side="peer", run=lambda k: step(network, x_BCTHW, case.precision))


def _targets(case: Case, table: Table) -> list[Target]:
    plain, *others = FORMULATIONS
    limit = row(table, LIMIT).values
    share = tuple(100 * low / high for low, high in zip(limit, row(table, plain).values, strict=True))
    named = f"R{case.depth} at {case.size}"
    rows = [Target(what=f"{named}, plain", against="the rate of one large gemm", values=share, suffix=" % of it")]
    return (
        rows
        + [
            gain(table, what=f"{named}, {name}", against="conv3d as published", ours=name, other=plain, at_least=None)
            for name in others
        ]
        + _engine_targets(case, table)
    )


def _engine_targets(case: Case, table: Table) -> list[Target]:
    plain, named = next(iter(FORMULATIONS)), f"R{case.depth} at {case.size}"
    names = (BF16, COMPILED) if case.engines else ()
    return [_promised_nothing(table, f"{named}, {name}", name, plain) for name in names]


def _promised_nothing(table: Table, what: str, name: str, plain: str) -> Target:
    if absent := row(table, name).absent:
        return Target(what=what, against="conv3d in fp32", values=(), note=absent)
    return gain(table, what=what, against="conv3d in fp32", ours=name, other=plain, at_least=None)


def gpu_seconds(work: Callable[[], object]) -> float:
    """Wall time until the GPU is done."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def giga_macs(network: SlowResNet, x_BCTHW: Tensor) -> float:
    """Multiply-adds of a forward and backward pass, in 1e9."""
    with FlopCounterMode(display=False) as counter:
        step(network, x_BCTHW, "fp32")
    return counter.get_total_flops() / 2e9


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table of one case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=34, choices=(10, 18, 34, 50))
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--size", type=int, default=112, help="height and width of the clips")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--batch", type=int, default=2, help="clips")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--compile", action="store_true", help="torch.compile too (minutes, at first)")
    case = Case(**vars(parser.parse_args(argv)))
    torch.set_num_threads(1)
    check(case)
    print("\n".join(table_lines(timed(case))))


if __name__ == "__main__":
    main()

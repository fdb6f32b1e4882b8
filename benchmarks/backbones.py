"""Time a forward and backward pass of the backbone in each formulation; medians of interleaved rounds.

python -m benchmarks.backbones [--depth 34 --size 112 --batch 2] [--depth 50 --size 224 --batch 1]
python -m benchmarks.backbones --device cuda --precision bf16 --batch 32 [--compile]

Every formulation holds the same weights; outputs and gradients are compared with the plain one's before anything is
timed (`apart`, in double precision). `of gemm` is the share of the best matrix-product rate of the same run. On a CPU
the times are CPU time, so that other work on the machine counts less.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from cpd.models.resnet3d import SlowResNet, slow_resnet

FORMULATIONS = {
    "conv3d (plain)": {},
    "conv3d, channels last": {"channels_last": True},
    "folded": {"folded": True},
    "folded, channels last": {"folded": True, "channels_last": True},
}
GEMM = 2048  # rows and columns of the matrix product
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


def seconds(work: Callable[[], object], device: str) -> float:
    """CPU time of some work; on a GPU the wall time until it is done."""
    if device == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=34, choices=(10, 18, 34, 50))
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--size", type=int, default=112, help="height and width of the clips")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--batch", type=int, default=2, help="clips")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--compile", action="store_true", help="torch.compile too (minutes, at first)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    apart = differences(args.depth, width=args.width)
    odd = {name: value for name, value in apart.items() if value > TOLERANCE}
    assert not odd, f"not the same network: {odd}"
    found: dict[str, Callable[[Tensor], Tensor]] = {
        name: network.to(args.device).train() for name, network in networks(args.depth, width=args.width).items()
    }
    if args.compile:
        found["folded, channels last, compiled"] = torch.compile(found["folded, channels last"])
    x_BCTHW = torch.randn(args.batch, 3, args.frames, args.size, args.size, device=args.device)
    for network in found.values():
        step(network, x_BCTHW, args.precision)
    times: dict[str, list[float]] = {name: [] for name in found}
    square = torch.randn(GEMM, GEMM, device=args.device, dtype=torch.bfloat16 if args.precision == "bf16" else None)
    gemms = []
    for _ in range(args.rounds):
        gemms.append(seconds(lambda: square @ square, args.device))
        for name, network in found.items():
            times[name].append(seconds(lambda n=network: step(n, x_BCTHW, args.precision), args.device))  # type: ignore[misc]
    plain, *_ = found
    macs = giga_macs(slow_resnet(args.depth, width=args.width), x_BCTHW.cpu())
    _print(args, times, apart, macs=macs, gemm=GEMM**3 / 1e9 / min(gemms), plain=plain)


def _print(
    args: argparse.Namespace,
    times: dict[str, list[float]],
    apart: dict[str, float],
    *,
    macs: float,
    gemm: float,
    plain: str,
) -> None:
    print(
        f"R{args.depth} width {args.width}, {args.batch} clips of {args.frames} x {args.size} x {args.size}, "
        f"{args.precision}, {args.device}, {args.threads} threads, torch {torch.__version__}; "
        f"{macs:.1f} GMAC forward + backward; gemm {gemm:.1f} GMAC/s"
    )
    print("| formulation | ms a clip: median | min | max | times plain's speed | of gemm | apart |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, values in times.items():
        median = statistics.median(values)
        ms = [1000 * value / args.batch for value in (median, min(values), max(values))]
        ratio, share = statistics.median(times[plain]) / median, macs / median / gemm
        same = f"{apart[name]:.0e}" if name in apart else "-"
        print(f"| {name} | {ms[0]:.1f} | {ms[1]:.1f} | {ms[2]:.1f} | {ratio:.2f} | {share:.0%} | {same} |")


if __name__ == "__main__":
    main()

"""Where a number comes from: result files, weights, settings, code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cpd.evaluate.result import Result, model_path

if TYPE_CHECKING:
    from cpd.config import Config

SHORT = 12  # digits of a digest that are shown


@dataclass(frozen=True)
class Origin:
    """One result file, and what it was made from; digests are shortened."""

    path: str
    run: str
    seed: int
    weights: str
    config: str
    code: str
    n: int
    seconds: float
    processes: int

    def line(self) -> str:
        """All of it in one line of words."""
        return (
            f"{self.path}: run {self.run}, seed {self.seed}, weights {self.weights}, config {self.config}, "
            f"code {self.code}, {self.n} test items, {duration(self.seconds)}"
        )


@dataclass(frozen=True)
class Weights:
    """The whole digests behind one run's numbers."""

    run: str
    sha256: str
    processes: list[int]


def origin(config: Config, path: str, result: Result) -> Origin:
    """What a result file says of itself."""
    weights = result.inputs.get(str(model_path(config, result.run)), "")
    return Origin(
        path=path,
        run=result.run,
        seed=result.seed,
        weights=weights[:SHORT] or "not recorded",
        config=result.config_digest[:SHORT],
        code=result.code_digest[:SHORT],
        n=result.n,
        seconds=result.wall_seconds,
        processes=result.world_size,
    )


def weights(config: Config, found: list[Result]) -> list[Weights]:
    """The weights of every run that has a result."""
    rows = []
    for run in dict.fromkeys(result.run for result in found):
        own = [result for result in found if result.run == run]
        digest = own[0].inputs.get(str(model_path(config, run)), "")
        rows.append(Weights(run, digest, sorted({result.world_size for result in own})))
    return rows


def versions(found: list[Result]) -> list[dict[str, Any]]:
    """Versions of the packages that computed, each set once."""
    return [dict(pairs) for pairs in dict.fromkeys(tuple(sorted(result.versions.items())) for result in found)]


def duration(seconds: float) -> str:
    """`12 s`, `3 min`, `4.5 h` or `2.1 d`."""
    for size, unit, digits in ((86_400.0, "d", 1), (3600.0, "h", 1), (60.0, "min", 0)):
        if seconds >= 2 * size or (unit == "h" and seconds >= size):
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"

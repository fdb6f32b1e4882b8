"""Predictions of the shown runs, which must be of the config's settings: what is shown is never stale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from cpd.errors import CpdError
from cpd.evaluate.predictions import Predictions, predictions_path, read_predictions
from cpd.evaluate.result import config_digest, read_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpd.config import Config
    from cpd.report.choose import Measurement

P = TypeVar("P", bound=Predictions)
P_in = TypeVar("P_in", bound=Predictions, contravariant=True)
T = TypeVar("T")
T_out = TypeVar("T_out", covariant=True)


class Make(Protocol[P_in, T_out]):
    """What makes of a measurement what the page shows; `beside` and `control` are the control run's, or None."""

    def __call__(self, config: Config, row: Measurement, beside: P_in | None, *, control: str | None) -> T_out:
        """A CpdError says why it cannot be shown."""


def beside_control(
    config: Config, rows: Sequence[Measurement], among: Sequence[Measurement], kind: type[P], make: Make[P, T]
) -> tuple[list[T], list[str]]:
    """Each of `rows` beside the first other run `among` those of its protocol, dataset and split; what is missing."""
    found: list[T] = []
    problems: list[str] = []
    for row in rows:
        same = [r for r in among if (r.protocol, r.dataset, r.split) == (row.protocol, row.dataset, row.split)]
        other = next((r for r in same if r.run != row.run), None)
        beside, wrong = read_beside(config, other, kind)
        try:
            found.append(make(config, row, beside, control=other.run if other and beside else None))
        except CpdError as error:
            wrong.insert(0, str(error))
        problems += wrong
    return found, problems


def read_current(config: Config, row: Measurement, kind: type[P]) -> P:
    """The predictions beside a result.

    Raises:
        CpdError: they or the result are missing or damaged, of another kind, or of other settings than the config's.
    """
    result = read_result(row.path)
    if result.config_digest != config_digest(config, row.run, protocol=row.protocol, dataset=row.dataset):
        raise CpdError(f"{row.path}: measured with other settings than the config's", hint="run its protocol again")
    found = read_predictions(predictions_path(row.path))
    if not isinstance(found, kind) or not found.keys:
        raise CpdError(f"{row.path}: its predictions are not {kind.__name__}", hint="delete them and run it again")
    return found


def read_beside(config: Config, row: Measurement | None, kind: type[P]) -> tuple[P | None, list[str]]:
    """The predictions of the control run, or None and what is wrong with them."""
    if row is None:
        return None, []
    try:
        return read_current(config, row, kind), []
    except CpdError as error:
        return None, [str(error)]

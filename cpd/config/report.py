"""Settings of the report."""

from __future__ import annotations

from cpd.config.base import Strict


class Report(Strict, frozen=True, kw_only=True):
    """Which runs `cpd report` looks into: examples, confusions, the embedding map (`EXPERIMENT` or `EXPERIMENT@SEED`).

    Attributes:
        run: null takes the trained run that most table rows name.
        control: shown beside it; null takes the one with shuffled titles, or else an untrained one.
    """

    run: str | None = None
    control: str | None = None

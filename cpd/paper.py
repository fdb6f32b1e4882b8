"""The paper's published numbers, in percent (PAPER section 3: v1's tables 1 to 8, v3, and the rho study).

Only what the papers' text states is here; a cell that is not is `None`, and prints as `NOT_PUBLISHED`. Tables, rows
and columns have the names of config.yaml.
"""

from __future__ import annotations

from types import MappingProxyType

NOT_PUBLISHED = "not published in text"

_SPLIT_1 = "UCF101 split 1"


def _one(column: str, rows: dict[str, float]) -> dict[str, dict[str, float]]:
    """A table of one column."""
    return {row: {column: value} for row, value in rows.items()}


def _grid(columns: tuple[str, ...], rows: dict[str, tuple[float | None, ...]]) -> dict[str, dict[str, float]]:
    """A table of several columns; None where the text has no number."""
    return {
        row: {column: value for column, value in zip(columns, values, strict=True) if value is not None}
        for row, values in rows.items()
    }


_TABLE_4 = _grid(
    ("k-NN", "Linear"),
    {
        "RGB-Stream": (None, 56.0),
        "3D-ConvNet": (None, 56.1),
        "3D R34 (Hara et al.)": (None, 60.1),
        "3D R50 (Hara et al.)": (None, 61.3),
        "3D R50 supervised (ours)": (None, 73.2),
        "SlowFast R50": (None, 77.0),
        "ResNet50 ImageNet res5": (42.8, 56.1),
        "R34 embedding": (49.9, 50.8),
        "R34 res5": (50.1, 53.3),
        "R50 embedding": (58.0, 58.7),
        "R50 res5": (58.2, 63.1),
    },
)

PUBLISHED = MappingProxyType(
    {
        "table1": _one(
            _SPLIT_1,
            {
                "Random initialization": 50.0,
                "Ranking loss": 79.9,
                "Self-instance discrimination": 51.1,
                "Cross-pair discrimination": 82.2,
            },
        ),
        "table2": _one(
            _SPLIT_1,
            {
                "Random initialization": 50.0,
                "Direct fine-tuning of the language model": 81.3,
                "Curriculum stage I": 82.2,
                "Curriculum stage II": 84.2,
            },
        ),
        "table3": _one(
            _SPLIT_1,
            {
                "LSMDC + Skip-Thoughts": 71.9,
                "Kinetics title-tree + Skip-Thoughts": 76.4,
                "Kinetics title-tree + DistilBERT": 82.1,
            },
        ),
        "table4": _TABLE_4,
        "table5": {},
        "table6": _one("1 % top-1", {"Ours": 14.7}),
        "table7": _grid(
            ("101 classes", "50 classes", "20 classes"),
            {"Mettes et al.": (32.8, 40.4, 51.2), "Ours R34": (40.6, 47.2, 54.4), "Ours R50": (39.9, 44.8, 58.1)},
        ),
        "table8": _grid(
            ("400 classes", "100 classes", "20 classes"),
            {"Ours R34": (38.2, 55.3, 73.1), "Ours R50": (43.7, 57.4, 74.4)},
        ),
        "v3": _grid(
            ("UCF101", "HMDB51"),
            {"Ours R50 Instagram-300k, frozen": (83.7, 54.7), "Ours R50 Instagram-300k, fine-tuned": (92.8, 63.6)},
        ),
        "rho": _grid(
            ("Kinetics-400 linear", _SPLIT_1),
            {
                "MoCo rho=2": (66.6, 91.3),
                "BYOL rho=2": (67.4, 94.0),
                "SimCLR rho=2": (61.5, 88.3),
                "SwAV rho=2": (62.6, 90.2),
                "MoCo rho=4": (71.0, 94.5),
                "BYOL rho=4": (70.1, 94.7),
                "BYOL rho=4 16x4": (71.1, 95.4),
                "Supervised Slow R50": (74.7, None),
            },
        ),
    }
)


def published(table: str, row: str, column: str) -> float | None:
    """The published number of a cell in percent, or None where the text states none."""
    return PUBLISHED.get(table, {}).get(row, {}).get(column)

"""The published numbers, and that every one of them has its place in the shipped tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from cpd.config import load_config
from cpd.paper import PUBLISHED, published

CONFIG = load_config(Path(__file__).parent.parent / "config.yaml")


@pytest.mark.parametrize(
    ("table", "row", "column", "number"),
    [
        ("table1", "Cross-pair discrimination", "UCF101 split 1", 82.2),
        ("table2", "Curriculum stage II", "UCF101 split 1", 84.2),
        ("table3", "Kinetics title-tree + DistilBERT", "UCF101 split 1", 82.1),
        ("table3", "Kinetics title-clean + DistilBERT", "UCF101 split 1", None),
        ("table4", "R50 res5", "Linear", 63.1),
        ("table4", "RGB-Stream", "k-NN", None),
        ("table5", "Ours R50 @224", "UCF101", None),
        ("table6", "Ours", "1 % top-1", 14.7),
        ("table7", "Ours R50", "50 classes", 44.8),
        ("table8", "Ours R34", "20 classes", 73.1),
        ("v3", "Ours R50 Instagram-300k, fine-tuned", "HMDB51", 63.6),
        ("rho", "BYOL rho=4 16x4", "UCF101 split 1", 95.4),
        ("no table", "no row", "no column", None),
    ],
)
def test_published(table: str, row: str, column: str, number: float | None) -> None:
    assert published(table, row, column) == number


def test_number_of_published_cells() -> None:
    counts = {table: sum(map(len, rows.values())) for table, rows in PUBLISHED.items()}
    assert counts == {
        "table1": 4, "table2": 4, "table3": 3, "table4": 16, "table5": 0, "table6": 1, "table7": 9, "table8": 6,
        "v3": 4, "rho": 15,
    }  # fmt: skip


@pytest.mark.parametrize("table", [*(f"table{n}" for n in range(1, 9)), "v3"])
def test_every_published_number_has_a_cell(table: str) -> None:
    spec = CONFIG.tables[table]
    cells = {(row.name, column.name) for row in spec.rows for column in spec.columns}
    stated = {(row, column) for row, columns in PUBLISHED[table].items() for column in columns}
    assert stated <= cells

"""Experiments of temporal persistency at the size of `small_corpus`."""

from __future__ import annotations

METHODS = ("moco", "simclr", "byol", "swav")
SMALL = {"clips": 2, "dim": 8, "hidden": 16, "queue": 12, "prototypes": 6}
LARS = {"optimizer": "lars", "weight_decay": 1.0e-6}


def objective(method: str, **over: object) -> dict:
    """Settings of `objective` for a small method alone."""
    return {"name": "persistency", "rho": {"method": method, **SMALL, **over}}


def cases() -> dict[str, dict]:
    """Experiments by name: each method alone, rho of 1 and 3, and beside a loss on titles."""
    alone = {
        f"rho-{method}": {"objective": objective(method), "train": LARS if method == "simclr" else {}}
        for method in METHODS
    }
    two_stages = [{"epochs": 1, "lr": 0.05}, {"epochs": 1, "lr": 0.01, "lr_text": 0.01}]
    return {
        **alone,
        "rho-one": {"objective": objective("moco", clips=1)},
        "rho-three": {"objective": objective("swav", clips=3)},
        "beside-moco": {"objective": {**objective("moco"), "name": "cross_pair"}, "stages": two_stages},
        "beside-byol": {"objective": {**objective("byol", weight=0.5), "name": "ranking"}},
    }

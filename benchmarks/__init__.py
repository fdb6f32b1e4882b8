"""Speed, side by side: ours beside the obvious way, other packages and the machine's limits. `make bench`."""

NAMES = (
    "clips", "augment", "loader", "loader_memory", "losses", "backbones", "frozen_text", "knn", "linear", "titles",
    "planning", "growth",
)  # fmt: skip

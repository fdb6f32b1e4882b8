"""Speed, side by side in one run: ours beside the obvious implementation. `make bench`."""

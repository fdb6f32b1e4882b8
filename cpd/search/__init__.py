"""The search page: a sentence finds clips, a clip finds titles, classes and clips like it."""

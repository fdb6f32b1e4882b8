"""WebDataset shards: writing, indexing and reading."""

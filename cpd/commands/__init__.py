"""One file a verb of the command line: `configure(parser)` and `run(args) -> int`."""

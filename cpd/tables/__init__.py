"""Tables from result files alone, beside the paper's numbers. Light: no torch, no pandas, the Snakefile parses it."""

from cpd.tables.cells import Cell, build, check, check_names, error_of, inputs, row_inputs

__all__ = ["Cell", "build", "check", "check_names", "error_of", "inputs", "row_inputs"]

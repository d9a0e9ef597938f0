# Two commands are the whole set-up: `make demo` and `make test`. Each makes the environment if it is missing.
# Times are those of two CPU cores, without the installation.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup demo fmt check quick test test-slow test-gpu bench

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):.*  ## (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F '|' '{ printf "make %-10s %s\n", $$1, $$2 }'

setup: $(VENV)/.ready  ## make the environment in .venv; every target does so first (90 s)

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,crf,onnx]'
	touch $@

demo: setup  ## run the whole pipeline on built-in scenes, nothing is downloaded (4 min)
	$(BIN)/semples demo --out runs/demo

fmt: setup  ## format the code and mend what ruff can mend (1 s)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: setup  ## check format, lint and types (1 min)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

quick: setup  ## unit tests: all but whole runs, browsers and other programs (under 1 min)
	$(BIN)/pytest -m 'not slow and not whole'

test: setup  ## every test but the slow ones, with coverage (4 min)
	$(BIN)/pytest -m 'not slow' --cov=semples --cov-report=term:skip-covered

test-slow: setup  ## wide sweeps, kills, several processes, the demo at full size (9 min)
	$(BIN)/pytest -m slow

test-gpu: setup  ## tests for a CUDA device; without one they are skipped (10 s)
	$(BIN)/pytest -m gpu -rs

bench: setup  ## compare all methods on built-in scenes over five seeds (hours)
	$(BIN)/semples compare --seeds 5 --out runs/compare

# Two commands are the whole set-up: `make demo` and `make test`. Each makes the environment if it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo fmt check test test-slow bench

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,crf,onnx]'
	touch $@

demo: setup
	$(BIN)/semples demo --out runs/demo

fmt: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: setup
	$(BIN)/pytest -m 'not slow'

test-slow: setup
	$(BIN)/pytest -m slow

bench: setup
	$(BIN)/semples compare --seeds 5 --out runs/compare

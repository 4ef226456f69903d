# Two commands on a fresh machine: `make quickstart` and `make test`. People and CI use the same ones.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: quickstart test check fast slow format results clean

quickstart: .venv/installed
	$(BIN)/dragoman quickstart

test: check fast slow

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fast: .venv/installed
	$(BIN)/pytest -q -m "not slow"

slow: .venv/installed
	$(BIN)/pytest -q -m slow

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

results: .venv/installed
	$(BIN)/python docs/tables.py

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[train,dev]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Two commands on a fresh machine: `make quickstart` and `make test`. People and CI use the same ones.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: quickstart test check fast slow format docs results bench bench-train clean

quickstart: .venv/installed
	$(BIN)/dragoman quickstart

test: check fast slow

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Several files of tests at once, each on one thread.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/pytest -q -rs -n auto --maxprocesses 8 --dist loadfile

fast: .venv/installed
	$(PYTEST) -m "not slow"

slow: .venv/installed
	$(PYTEST) -m slow

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Speed against CTranslate2 on this machine; five minutes, with nothing else running.
bench: .venv/installed .venv-peer/installed
	$(BIN)/python bench/speed.py --record docs/results/speed.jsonl
	$(BIN)/python docs/tables.py

# Training's tokens a second against JoeyNMT's, on CORPUS (default: made phrases); eight to twelve minutes, nothing else
# running.
bench-train: .venv/installed .venv-joeynmt/installed
	$(BIN)/python bench/training.py $(if $(CORPUS),--corpus $(CORPUS)) --record docs/results/training.jsonl
	$(BIN)/python docs/tables.py

results: .venv/installed
	$(BIN)/python docs/tables.py

# The documentation as a site in docs/_build. A warning, such as a broken link, fails the build.
docs: .venv/docs-installed
	$(BIN)/python docs/commands.py
	$(BIN)/sphinx-build -q -W --keep-going -c docs . docs/_build

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv, which takes minutes"
	$(BIN)/pip install -q -c constraints.txt -e '.[train,moses,dev]'
	touch $@

.venv/docs-installed: .venv/installed
	$(BIN)/pip install -q -c constraints.txt -e '.[docs]'
	touch $@

.venv-peer/installed: bench/requirements.txt
	test -x .venv-peer/bin/python || $(PYTHON) -m venv .venv-peer
	.venv-peer/bin/pip install -q -r bench/requirements.txt
	touch $@

.venv-joeynmt/installed: bench/joeynmt.txt
	test -x .venv-joeynmt/bin/python || $(PYTHON) -m venv .venv-joeynmt
	.venv-joeynmt/bin/pip install -q -r bench/joeynmt.txt
	touch $@

clean:
	rm -rf .venv .venv-peer .venv-joeynmt docs/_build build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

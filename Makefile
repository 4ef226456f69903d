# Two commands on a fresh machine: `make quickstart` and `make test`. People and CI use the same ones.
PYTHON ?= python3
PYTHON310 ?= python3.10
BIN = .venv/bin

.PHONY: quickstart test check fast slow mutants fuzz fixtures format docs dist results bench bench-train clean

quickstart: .venv/installed
	$(BIN)/dragoman quickstart

# Several tests at once, each on one thread.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/pytest -q -rs -n auto --maxprocesses 8 --dist worksteal

# Prettier comes with the clients.
PRETTIER = tests/web/node_modules/.bin/prettier --log-level warn
JAVASCRIPT = "runtime/**/*.{js,ts}" "bench/*.js" "tests/runtime/**/*.{js,mjs}"

CLIENTS = .venv-clients/installed tests/clients/node_modules/.installed tests/web/node_modules/.installed

# The fast tests and the slow ones in one go, since what they share is trained once.
test: $(CLIENTS) check
	$(PYTEST)

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	test ! -x $(firstword $(PRETTIER)) || $(PRETTIER) --check $(JAVASCRIPT)

fast: .venv/installed $(CLIENTS)
	$(PYTEST) -m "not slow"

slow: .venv/installed $(CLIENTS)
	$(PYTEST) -m slow

# Remove one line of the training recipe at a time and report what no test notices; some minutes.
mutants: .venv/installed
	$(BIN)/python tests/mutants.py

# 100,000 random lines through `translate` and 2,000 damaged files through `corpus files`; half an hour.
fuzz: .venv/installed
	$(BIN)/python tests/fuzz.py

# What hosts in other languages test their text handling against.
fixtures: .venv/installed
	$(BIN)/python tests/write_fixtures.py

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	test ! -x $(firstword $(PRETTIER)) || $(PRETTIER) --write $(JAVASCRIPT)

# Speed against CTranslate2 on this machine, then speed over the vocabulary, against Marian, too; fifteen minutes, with
# nothing else running.
bench: .venv/installed .venv-peer/installed .venv-marian/installed
	$(BIN)/python bench/speed.py --record docs/results/speed.jsonl
	$(BIN)/python -m bench.vocabulary --record docs/results/vocabulary.jsonl
	$(BIN)/python docs/tables.py

# Training's tokens a second against JoeyNMT's, and beside a busy core against alone, on CORPUS (default: made phrases);
# ten to fourteen minutes, nothing else running.
bench-train: .venv/installed .venv-joeynmt/installed
	$(BIN)/python bench/training.py $(if $(CORPUS),--corpus $(CORPUS)) --record docs/results/training.jsonl
	$(BIN)/python docs/tables.py

results: .venv/installed
	$(BIN)/python docs/tables.py

# The documentation as a site in docs/_build. A warning, such as a broken link, fails the build.
docs: .venv/docs-installed
	$(BIN)/python docs/commands.py
	$(BIN)/sphinx-build -q -W --keep-going -c docs . docs/_build

# The wheel and the source distribution, each installed into a fresh environment and tried.
dist: .venv/installed
	rm -rf dist build *.egg-info
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/twine check --strict dist/*
	for archive in dist/*; do \
		rm -rf .venv-dist && $(PYTHON) -m venv .venv-dist && \
		.venv-dist/bin/pip install -q -c constraints.txt $$archive && \
		.venv-dist/bin/dragoman --version && \
		.venv-dist/bin/dragoman translate tests/files/35c52c7/float32.onnx "12 345" && \
		.venv-dist/bin/python -c "import dragoman; print(dragoman.load('tests/files/35c52c7/int8.onnx').translate('12').text)" \
		|| exit 1; \
	done
	rm -rf .venv-dist

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv, which takes minutes"
	$(BIN)/pip install -q -c constraints.txt -e '.[train,documents,serve,moses,dev]'
	touch $@

.venv/docs-installed: .venv/installed
	$(BIN)/pip install -q -c constraints.txt -e '.[docs]'
	touch $@

.venv-peer/installed: bench/requirements.txt
	test -x .venv-peer/bin/python || $(PYTHON) -m venv .venv-peer
	.venv-peer/bin/pip install -q -r bench/requirements.txt
	touch $@

# Marian's package has wheels for Python up to 3.10. Without that Python, `make bench` has no rows of Marian.
.venv-marian/installed: bench/marian-requirements.txt
	@if test -x .venv-marian/bin/python || command -v $(PYTHON310) >/dev/null; then \
		test -x .venv-marian/bin/python || $(PYTHON310) -m venv .venv-marian && \
		.venv-marian/bin/pip install -q -r bench/marian-requirements.txt && \
		touch $@; \
	else \
		echo "no $(PYTHON310) is installed, so Marian is left out; name one with make PYTHON310=/path/to/python3.10"; \
	fi

.venv-libretranslate/installed: bench/libretranslate-requirements.txt
	test -x .venv-libretranslate/bin/python || $(PYTHON) -m venv .venv-libretranslate
	.venv-libretranslate/bin/pip install -q -r bench/libretranslate-requirements.txt
	touch $@

.venv-joeynmt/installed: bench/joeynmt.txt
	test -x .venv-joeynmt/bin/python || $(PYTHON) -m venv .venv-joeynmt
	.venv-joeynmt/bin/pip install -q -r bench/joeynmt.txt
	touch $@

# Clients of LibreTranslate that other people wrote, and Schemathesis, which tries what the description promises.
.venv-clients/installed: tests/clients/requirements.txt tests/clients/no-dependencies.txt
	test -x .venv-clients/bin/python || $(PYTHON) -m venv .venv-clients
	.venv-clients/bin/pip install -q -r tests/clients/requirements.txt
	.venv-clients/bin/pip install -q --no-deps -r tests/clients/no-dependencies.txt
	touch $@

# In tests/web: ONNX Runtime for the site that translates in the browser. In bench: Bergamot in WebAssembly.
%/node_modules/.installed: %/package.json %/package-lock.json
	@if command -v npm >/dev/null; then \
		cd $* && npm ci --silent --no-audit --no-fund --ignore-scripts && touch node_modules/.installed; \
	else \
		echo "no npm is installed, so tests in JavaScript are left out"; \
	fi

clean:
	rm -rf .venv .venv-clients tests/clients/node_modules tests/web/node_modules bench/node_modules .venv-peer .venv-marian .venv-libretranslate .venv-joeynmt .venv-dist docs/_build build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

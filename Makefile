# Two commands do all the set-up: `make addition` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install addition test test-browser format docs benchmark benchmark-training soak table programs clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

addition: install
	$(BIN)/nesy-gedi addition --examples 1000

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile

# The report and the app in a real browser; `make test` skips these tests where there is none.
test-browser: install
	command -v chromium || (apt-get update && apt-get install --yes chromium) || \
		$(BIN)/playwright install --with-deps chromium
	BROWSER_REQUIRED=1 $(BIN)/python -m pytest tests/browser

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The documentation, into site/; a broken link is an error.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# What constraints cost, ours beside KLay, DeepProbLog and a gather by hand. About two minutes.
benchmark: install
	$(BIN)/python -m benchmarks.constraint

# What a training costs, ours beside the plain equations. About seven minutes.
benchmark-training: install
	$(BIN)/python -m benchmarks.training

# An hour of kills, signals, full disks and damaged files; nothing may be lost.
soak: install
	$(BIN)/python -m benchmarks.soak

# The README's table; DATA is a folder with MNIST/raw (nesy-gedi data fetch mnist). An hour on two cores.
DATA ?= data
table: install
	sh experiments/addition.sh $(BIN) $(DATA) runs/table
	$(BIN)/python experiments/collect.py runs/table addition

# Every shipped program trained once. Half an hour on two cores.
programs: install
	sh experiments/programs.sh $(BIN) runs/programs
	$(BIN)/python experiments/collect.py runs/programs programs

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis

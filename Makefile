# make demo | make test: the newcomer's two commands. make check: what CI runs besides the tests.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check format
.DELETE_ON_ERROR:

demo: .venv/ready
	$(BIN)/gentext run experiment=demo

test: .venv/ready
	$(BIN)/python -m pytest -n 2

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/gentext report --check experiments README.md

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "gentext needs Python 3.11 to 3.13; try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

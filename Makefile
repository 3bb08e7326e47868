# make demo | make test: the newcomer's two commands. make check: what CI runs besides the tests. make docs: build/docs/index.html
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check docs format
.DELETE_ON_ERROR:

demo: .venv/ready
	$(BIN)/gentext run experiment=demo

test: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/gentext report --check experiments README.md

docs: .venv/ready
	$(BIN)/sphinx-build -q -W --keep-going docs build/docs
	@echo build/docs/index.html

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# 3.11, 3.12 and 3.13 are what the suite has been run on by hand; the workflow in .github runs 3.11 to 3.14.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gentext needs Python 3.11 or newer; try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

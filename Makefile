PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

TEXT := assets/microsoft.txt
LABELS := person,company,product,city,date
RELATIONS := company > founded by > person,company > headquarters location > city
QUESTION := When was Microsoft founded?
RESULTS := benchmarks/results

.PHONY: help run test lint bench bench-all bench-table clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

# torch comes first and pinned: left to the resolver it may bring another build with gigabytes of CUDA.
$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip
	$(PIP) torch==2.13.0
	$(PIP) -e ".[test]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) -e ".[test,dev]"
	@touch $@

run: $(VENV)/.installed ## Entities, relations, summary and an answer of a text, e.g. make run TEXT=my.txt LABELS=person,city
	@$(BIN)/python -m spacy_gliner "$(TEXT)" --labels "$(LABELS)" --relations "$(RELATIONS)" --summary \
		--question "$(QUESTION)"

test: $(VENV)/.installed ## Run the tests
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed ## Speed of prediction beside the reference library, e.g. make bench BENCH="--network embedded"
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/inference.py $(BENCH)

bench-all: $(VENV)/.installed ## Measure everything in docs/speed.md, beside all libraries that are installed: hours
	OMP_NUM_THREADS=1 PYTHON=$(BIN)/python sh benchmarks/all.sh $(RESULTS)

bench-table: $(VENV)/.installed ## Write the tables and the plot of docs/speed.md from benchmarks/results
	$(BIN)/python benchmarks/tables.py $(RESULTS)/*.jsonl
	$(BIN)/python benchmarks/plot.py $(RESULTS)/inference.jsonl docs/speed.svg

clean: ## Remove the environment and everything built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

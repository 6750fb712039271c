# `make demo` and `make test` are all the set-up there is; both make the virtual environment they need.
PYTHON ?= python3
VENV ?= .venv
RUNS ?= runs
BIN := $(VENV)/bin

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# One thread in matrix products: their sums then have the same order, and training the same last bits, on any number of
# cores; and on a busy machine threads that wait for one another can make small products ten times slower.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
# Tests start many processes. Where the environment forbids to keep bytecode, each would compile all that it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test lint test-long bench clean

help:
	@echo "make demo       train LeNet-5 on handwritten digits, draw it, measure it; files in $(RUNS)/"
	@echo "make test       ruff, mypy and the tests (minutes)"
	@echo "make test-long  every test, the long ones too"
	@echo "make bench      the figures that the project holds itself to (minutes; best on an idle machine)"
	@echo "make clean      remove the virtual environment and all that was generated"

# Each stamp is older than the project's files only when the environment must be filled again.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "graphnet needs Python 3.11 or later")'
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "no virtual environment: on Debian and Ubuntu, apt install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/.made
	$(BIN)/pip install --quiet --editable '.[train]'
	@touch $@

$(VENV)/.installed-dev: setup.cfg pyproject.toml | $(VENV)/.made
	$(BIN)/pip install --quiet --editable '.[train,native,dev]'
	@touch $(VENV)/.installed $@

demo: $(VENV)/.installed
	$(BIN)/graphnet train models/lenet.py --out $(RUNS)/lenet
	$(BIN)/graphnet draw models/lenet.py --out $(RUNS)/lenet/graph.svg
	$(BIN)/graphnet bench models/lenet.py --out $(RUNS)/lenet/bench
	@echo
	@echo "Everything is in $(RUNS)/lenet:"
	@cd $(RUNS)/lenet && find . -type f | sort | sed 's|^\./|  |'

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy

# Two processes, for two cores; one that has nothing left takes over half of what the other still has to do.
test: lint
	GRAPHNET_CHECK=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test-long: lint
	GRAPHNET_CHECK=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "slow or not slow"

bench: $(VENV)/.installed
	$(BIN)/python tools/import_time.py
	$(BIN)/python -m tools.bench_compile
	$(BIN)/python -m tools.bench_handwritten
	$(BIN)/python -m tools.bench_convolution
	$(BIN)/python -m tools.check_memory
	$(BIN)/python -m tools.bench_native

clean:
	rm -rf $(VENV) $(RUNS) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find graphnet models tests tools -name __pycache__ -prune -exec rm -rf {} +
	rm -rf __pycache__

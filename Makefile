# make demo   try it: sandbox, Prefect server with a worker, and a run, all on this machine; `make stop` ends them
# make test   the tests
# make bench  how fast an environment and a fleet are, against the guide's az: docs/benchmark.md; an hour
# make bench-real-time  one run of each at Azure's own speed, for the same report; 25 minutes
# make bench-sandbox  how fast the sandbox is, and what it weighs; two minutes
# make bench-bars  what is promised in seconds, on a quiet machine; a minute
# make test-thorough  many cases of what `make test` shows once
# make test-database  real PostgreSQL behind the sandbox, as `azure-sandbox postgres install` fetches it; some minutes
# make test-az  the guide's commands with the real az, which it installs into .az/
# make test-end-to-end  the product on a Prefect server, with a worker and Chromium; 8 minutes
# make test-azure SUBSCRIPTION=ID  one small environment on Azure itself, which costs money: within USD=5 and MINUTES=150
# make matrix  every call of every flow with every fault, kills, races, lies, sleepers: docs/resilience.md; hours, goes on where it stopped
# make matrix-sample  a case of each part, and some kinds of fault; some minutes
# make canary  secrets planted, four runs, and a search for them in everything that is left; some minutes
# make mutations  guards taken away one by one, each to be noticed by a test; a quarter of an hour
# make docs   the documentation as a site: site/index.html
# make check  linters and types
# make check-alone  each distribution's checks and tests without the other's source, in virtual environments of their own
# make clean  remove what the above made

VENV := .venv
STAMP := $(VENV)/.installed
# The first Python on the path that is new enough; or say PYTHON=...
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# Processes that run tests side by side: one more than cores, as tests also wait; 0 is one after the other.
WORKERS ?= $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) + 1)")

# Tests start some hundred processes, which else compile the product each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: check-alone demo stop test test-thorough test-database test-az test-azure test-end-to-end bench bench-real-time bench-sandbox bench-bars matrix matrix-sample canary mutations docs check clean

demo: $(STAMP)
	@$(VENV)/bin/aks-postgres demo start

stop:
	@if [ -x $(VENV)/bin/aks-postgres ]; then $(VENV)/bin/aks-postgres demo stop; fi

test: $(STAMP)
	$(VENV)/bin/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-thorough: $(STAMP)
	$(VENV)/bin/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m thorough
	$(VENV)/bin/pytest -n $(WORKERS) --dist worksteal -m hypothesis --hypothesis-profile drawn

test-database: $(STAMP)
	$(VENV)/bin/pytest -n 2 --dist loadfile -m database

test-az: $(STAMP)
	$(VENV)/bin/pytest -p no:cacheprovider -m az tests/az

test-end-to-end: $(STAMP)
	$(VENV)/bin/pytest -p no:cacheprovider -s -m end_to_end tests/end_to_end

REGION ?= canadacentral
USD ?= 5
MINUTES ?= 150

test-azure: $(STAMP)
	@test -n "$(SUBSCRIPTION)" || { echo "Name the subscription: make test-azure SUBSCRIPTION=ID" >&2; exit 2; }
	$(VENV)/bin/python -m tests.live --subscription "$(SUBSCRIPTION)" --region "$(REGION)" --usd "$(USD)" --minutes "$(MINUTES)"

bench: $(STAMP)
	$(VENV)/bin/python -m tests.bench scaled fleet

bench-real-time: $(STAMP)
	$(VENV)/bin/python -m tests.bench real-time

bench-sandbox: $(STAMP)
	$(VENV)/bin/python packages/azure-sandbox/tests/bench.py --write

bench-bars: $(STAMP)
	$(VENV)/bin/pytest -n 0 -m bars tests/bench

matrix: $(STAMP)
	$(VENV)/bin/python -m tests.matrix

matrix-sample: $(STAMP)
	$(VENV)/bin/python -m tests.matrix sample

canary: $(STAMP)
	$(VENV)/bin/python -m tests.matrix.canary

mutations: $(STAMP)
	$(VENV)/bin/python -m tests.matrix.mutations

docs: $(STAMP)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet
	@echo "Look at site/index.html"

check: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/codespell

# Of a copy: setuptools builds in the folder that it builds from. TESTS chooses, such as TESTS=-k blobs.
check-alone:
	rm -rf .alone
	mkdir .alone && cp -r packages/azure-sandbox .alone/copy && rm -rf .alone/copy/build
	$(PYTHON) -m venv .alone/sandbox
	.alone/sandbox/bin/pip install --quiet --disable-pip-version-check '.alone/copy[dev]'
	cd packages/azure-sandbox && ../../.alone/sandbox/bin/ruff check . && ../../.alone/sandbox/bin/ruff format --check . \
		&& ../../.alone/sandbox/bin/mypy && ../../.alone/sandbox/bin/lint-imports \
		&& ../../.alone/sandbox/bin/pytest -n $(WORKERS) --dist loadfile $(TESTS)
	$(PYTHON) -m venv .alone/product
	.alone/product/bin/pip install --quiet --disable-pip-version-check '.alone/copy[pytest]' -e '.[dev]'
	.alone/product/bin/ruff check src flows tasks tests && .alone/product/bin/mypy -p aks_postgres \
		&& .alone/product/bin/lint-imports && .alone/product/bin/pytest -n $(WORKERS) --dist loadfile tests $(TESTS)

clean: stop
	rm -rf $(VENV) .alone site .demo .az .live .matrix *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(STAMP): pyproject.toml packages/azure-sandbox/pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; say where: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Installing into $(VENV); a minute or two, once."
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --disable-pip-version-check -e '.[dev]' -e 'packages/azure-sandbox[pytest]'
	@touch $@

# make demo   try it: sandbox, Prefect server and a run, all on this machine; `make stop` ends them
# make test   the tests
# make bench-sandbox  how fast the sandbox is, and what it weighs; two minutes
# make test-az  the guide's commands with the real az, which it installs into .az/
# make check  linters and types
# make clean  remove what the above made

VENV := .venv
STAMP := $(VENV)/.installed
# The first Python on the path that is new enough; or say PYTHON=...
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# Processes that run tests side by side: one a core, or a number; 0 is one after the other.
WORKERS ?= auto

.PHONY: demo stop test test-az bench-sandbox check clean

demo: $(STAMP)
	@$(VENV)/bin/aks-postgres demo start

stop:
	@if [ -x $(VENV)/bin/aks-postgres ]; then $(VENV)/bin/aks-postgres demo stop; fi

test: $(STAMP)
	$(VENV)/bin/pytest -n $(WORKERS)

test-az: $(STAMP)
	$(VENV)/bin/pytest -m az tests/az

bench-sandbox: $(STAMP)
	$(VENV)/bin/python tests/sandbox/bench.py --write

check: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/codespell

clean: stop
	rm -rf $(VENV) .demo .az *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; say where: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

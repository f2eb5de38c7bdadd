# make run [TAPE=loans.csv]  sets up, runs the main job on the tape and serves the site on 127.0.0.1
# make test                  sets up and runs every test: SQLite, then PostgreSQL + Redis, then a browser
# make lint                  the linters, as the continuous integration runs them
# make lock                  writes the hash-locked requirements anew from pyproject.toml
# make clean                 removes the environment and the caches; keeps var/, where the data is

SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
TAPE ?=
VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv

export GLASSPOOL_SHARED ?= ../shared
export PYTHONUTF8 := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help run test lint lock clean

help:
	@sed -n 's/^# //p' Makefile

# ---------------------------------------------------------------------------------------------- environment
# Debian ships Python without ensurepip and forbids pip to install beside its packages: the environment is made
# without pip, and the system's pip fills it from outside. uv is only a faster installer of the same locks.
define install
	@test -x $(UV) || $(PYTHON) -m pip --python $(PY) install --quiet --require-hashes -r requirements-uv.txt \
		|| echo "uv is not to be had here: installing with pip, which takes longer"
	@echo "Installing $(1)"
	@{ test -x $(UV) && VIRTUAL_ENV="$$PWD/$(VENV)" $(UV) pip install --quiet --require-hashes -r $(1); } \
		|| $(PYTHON) -m pip --python $(PY) install --quiet --require-hashes -r $(1)
	@touch $@
endef

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Glasspool needs Python 3.11 or newer; set PYTHON=")'
	@$(PYTHON) -m pip --version > /dev/null || { echo "pip is missing: apt-get install python3-pip"; exit 1; }
	$(PYTHON) -m venv --without-pip $(VENV)

$(VENV)/.installed: requirements.txt requirements-uv.txt | $(PY)
	$(call install,requirements.txt)

$(VENV)/.installed-test: requirements-test.txt requirements-uv.txt | $(PY)
	$(call install,requirements-test.txt)

# -------------------------------------------------------------------------------------------------- commands
run: $(VENV)/.installed
	@$(PY) manage.py demo $(if $(TAPE),"$(TAPE)")

test: $(VENV)/.installed-test
	@$(PY) -m tests.suite

lint: $(VENV)/.installed-test
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(VENV)/bin/python $(VENV)/bin/lint-imports
	$(PY) manage.py sdl --check
	$(PY) manage.py makemigrations --check --dry-run
	@GLASSPOOL_ENV=production GLASSPOOL_DATA="$$(mktemp -d)" \
		DJANGO_SECRET_KEY="$$($(PY) -c 'import secrets; print(secrets.token_urlsafe(64))')" \
		$(PY) manage.py check --deploy --fail-level WARNING
	@echo "make lint: passed"

# The environment's own uv writes the locks; no header, no index: a lock names no machine it came from.
lock: $(VENV)/.installed-test
	$(UV) pip compile pyproject.toml --universal --generate-hashes --no-header --quiet --upgrade -o requirements.txt
	$(UV) pip compile pyproject.toml --extra test --constraint requirements.txt \
		--universal --generate-hashes --no-header --quiet --upgrade -o requirements-test.txt
	echo uv | $(UV) pip compile - --universal --generate-hashes --no-header --no-annotate --quiet --upgrade -o requirements-uv.txt

clean:
	rm -rf $(VENV) .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

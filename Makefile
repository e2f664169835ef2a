# `make demo` and `make test` do all set-up on a machine with Python >= 3.11 and nothing else: a virtual environment in
# .venv, filled from the hash-locked files. Pip's own configuration (index, proxy, certificates) is respected.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command "make lock"

# make demo SECONDS=60 ARGS="--markets 3 --speed 4"; make test ARGS="-k book"
SECONDS ?=
SEEDS ?= 20
ARGS ?=

.PHONY: demo test chaos lint types imports check bench lock install systemd-test clean help

help:
	@echo "make demo   run the daemon against the built-in exchange (SECONDS=60, ARGS=...)"
	@echo "make test   run the tests (ARGS=...)"
	@echo "make chaos  run random faults against the daemon and print what held (SEEDS=20, ARGS=...)"
	@echo "make check  lint, types, imports and test"
	@echo "make bench  run the benchmarks"
	@echo "make lock   write the lock files again (ARGS=--upgrade for newer versions)"
	@echo "make install       install as a systemd service, as root (ARGS=--help)"
	@echo "make systemd-test  install and exercise the service, as root, on a machine to throw away"
	@echo "make clean  remove .venv and all caches"

demo: $(VENV)/.runtime
	$(BIN)/mm-daemon demo $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(ARGS)

chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos --seeds $(SEEDS) $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

check: lint types imports test

bench: $(VENV)/.runtime
	$(BIN)/python -m benchmarks $(ARGS)

# The first Python that will do: made for the versions 3.11 to 3.13, newer ones if there is no other.
$(VENV)/bin/python:
	@for check in '(3, 11) <= v < (3, 14)' '(3, 11) <= v'; do \
		for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14; do \
			$$python -c "import sys; v = sys.version_info[:2]; sys.exit(not $$check)" 2>/dev/null || continue; \
			$$python -c 'import ensurepip, venv' 2>/dev/null || { \
				echo "$$python lacks the modules venv and ensurepip (on Debian: apt install python3-venv)" >&2; continue; }; \
			echo "making $(VENV) with $$python"; \
			$$python -m venv --clear $(VENV) && exit 0; \
		done; \
	done; \
	echo "no usable Python >= 3.11 with venv found; name one: make PYTHON=/path/to/python3" >&2; exit 1

$(VENV)/.runtime: requirements.lock requirements-build.lock pyproject.toml | $(VENV)/bin/python
	$(PIP) --require-hashes -r requirements.lock -r requirements-build.lock
	$(PIP) --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

lock: | $(VENV)/bin/python
	$(PIP) uv
	$(LOCK) $(ARGS) pyproject.toml --output-file requirements.lock
	$(LOCK) $(ARGS) pyproject.toml --extra dev --constraint requirements.lock --output-file requirements-dev.lock
	echo 'setuptools>=77' | $(LOCK) $(ARGS) - --output-file requirements-build.lock

install:
	systemd/install.sh $(ARGS)

systemd-test:
	systemd/install.sh
	UNIT=mm-daemon.service tests/systemd/exercise.sh

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

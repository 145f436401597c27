# Retinue: every command of the project, one line of help each. `make` alone prints them.
#
# The virtual environment is made in this checkout, from requirements.lock, the first time a target needs it and
# again when the lock changes. PYTHON chooses the interpreter it is made with (3.11 or newer).

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
IMAGE  := $(VENV)/protos.binpb
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help install run test faults bench lint format contracts proto proto-check proto-baseline lock ci clean distclean

help: ## print this help
	@echo 'Retinue. Targets (ARGS="…" is handed on to the program behind a target):'
	@sed -nE 's/^([a-z-]+):.*## (.*)$$/\1\t\2/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  %-15s %s\n", $$1, $$2}'

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo 'Retinue needs Python 3.11 or newer: install it, or name it with `make PYTHON=python3.12 …`'; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

install: $(STAMP) ## make .venv and install the locked dependencies (other targets do it by themselves)

run: $(STAMP) ## start the whole suite here: embedded PostgreSQL and NATS, every service, a demo agent
	@exec $(BIN)/python -m services $(ARGS)

test: $(STAMP) ## run every test; ARGS="tests/unit -k name" runs some
	$(BIN)/python -m pytest $(ARGS)

faults: $(STAMP) ## run the tests that kill, stop and restart real processes
	$(BIN)/python -m pytest -m faults $(ARGS)

bench: $(STAMP) ## measure every goal of docs/benchmarks.md, for some minutes; ARGS=--quick for a look
	$(BIN)/python -m bench $(ARGS)

lint: $(STAMP) ## ruff, formatting and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## rewrite the code the way lint wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

contracts: $(STAMP) ## check which room may import what (.importlinter)
	$(BIN)/lint-imports

proto: $(STAMP) ## generate the stubs under libs/ from proto/
	$(BIN)/python proto/generate.py

proto-check: $(STAMP) ## lint the protos, refuse breaking changes and stubs that drifted
	$(BIN)/python proto/generate.py image $(IMAGE)
	$(BIN)/buf lint $(IMAGE) --config proto/buf.yaml
	$(BIN)/buf breaking $(IMAGE) --config proto/buf.yaml --against proto/baseline.binpb
	$(BIN)/python proto/generate.py check

proto-baseline: $(STAMP) ## record the protos as released: what later changes are compared with
	$(BIN)/python proto/generate.py image $(IMAGE)
	$(BIN)/buf build $(IMAGE) --exclude-source-info --output proto/baseline.binpb

lock: $(STAMP) ## resolve requirements.lock again from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --quiet --custom-compile-command 'make lock' $(ARGS) -o requirements.lock

ci: ## what continuous integration runs
	@.ci/run

clean: ## remove caches and build products; the data in .retinue/ stays
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## also remove the virtual environment and the local data
	rm -rf $(VENV) .retinue

# Vecmark. New users only need `make run`; `make help` lists the other targets.

VENV := .venv
BIN := $(VENV)/bin
# Python to use instead of the first suitable one: make install PYTHON=/path/to/python3.12
PYTHON :=
# Extra package index for torch's CPU build: make install TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX :=
# More arguments for a target's command: make test ARGS="-k search"
ARGS :=

CANDIDATES := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: help install run test lint bench demo-migrate clean
.DELETE_ON_ERROR:

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST)

install: $(VENV)/.installed  ## create the environment .venv and install Vecmark into it

run: $(VENV)/.installed  ## serve on http://127.0.0.1:8000, with sample documents
	@$(BIN)/vecmark serve --sample $(ARGS)

test: $(VENV)/.installed-dev  ## run the test suite
	@$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

lint: $(VENV)/.installed-dev  ## check style, types, imports, and the schema against its migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@folder=$$(mktemp -d) && chmod 711 "$$folder" && trap 'rm -rf "$$folder"' EXIT && \
	export VECMARK_DATA_DIR="$$folder/data" && \
	$(BIN)/vecmark db upgrade && $(BIN)/vecmark db check

bench: $(VENV)/.installed-dev  ## run the benchmarks on the corpora in DATA and print a table
	@$(BIN)/python -m benchmarks $(if $(DATA),--data "$(DATA)") $(ARGS)

demo-migrate: $(VENV)/.installed-demo  ## demonstrate moving the sample documents to another model and back
	@$(BIN)/python -m examples.migrate.demo

clean:  ## remove the environment, builds and tool caches; keeps the data
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	@python=; for candidate in $(CANDIDATES); do \
		if "$$candidate" -I api/platforms.py >/dev/null 2>&1; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "make install: found no Python that Vecmark can run on." >&2; \
		for candidate in $(CANDIDATES); do \
			problem=$$("$$candidate" -I api/platforms.py 2>&1) || echo "  $$candidate: $$problem" >&2; \
		done; \
		echo "Install Python 3.11, 3.12 or 3.13 (Debian, Ubuntu: apt-get install python3 python3-venv;" >&2; \
		echo "macOS: brew install python@3.13), or specify one: make install PYTHON=/path/to/python3.12" >&2; \
		exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
		echo "make install: $$python lacks the venv module, which is needed to create the environment." >&2; \
		echo "Debian, Ubuntu: apt-get install python3-venv (or python3.N-venv for another version)." >&2; \
		exit 1; \
	fi; \
	"$$python" -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@$(PIP) --quiet hatchling
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(PIP) --quiet --no-build-isolation --editable '.[dev]'
	@touch $@

$(VENV)/.installed-demo: $(VENV)/.installed
	@$(PIP) --quiet --no-build-isolation --editable '.[demo]'
	@touch $@

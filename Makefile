# Everything a fresh machine needs is made by the targets themselves: `make demo`, `make test`.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench docs notebooks bubblewrap clean

help:
	@echo "make demo    two agents analyse real data in a real sandbox; the results lie in ./workspace"
	@echo "make test    every check and every test"
	@echo "make check   the quick inner loop: lint, types, fast tests"
	@echo "make bench   the benchmarks, side by side with peers"
	@echo "make format  formats the code"
	@echo "make docs    the documentation site, in build/docs"
	@echo "make notebooks  runs the notebooks again and keeps what they print"

$(READY): pyproject.toml
	@echo "Making $(VENV) and installing packages into it; this takes a few minutes ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --editable ".[all,dev]"
	@touch $@

# Installed where that is possible; otherwise the commands below say what to do.
bubblewrap:
	@command -v bwrap >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	    echo "Installing bubblewrap ..."; \
	    { apt-get install -y -qq bubblewrap || { apt-get update -qq && apt-get install -y -qq bubblewrap; }; } >/dev/null 2>&1; \
	  fi; }
	@command -v bwrap >/dev/null 2>&1 || \
	  echo "bubblewrap is not here: install it (apt-get install bubblewrap), or accept unconfined code with: ci-toolkit demo --isolation none"

demo: $(READY) bubblewrap
	$(BIN)/ci-toolkit demo $(DEMO)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q -n auto --maxprocesses 4 --dist loadfile -m "not local"

test: $(READY) bubblewrap
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile

bench: $(READY) bubblewrap
	$(BIN)/python benchmarks/call_overhead.py
	$(BIN)/python benchmarks/at_most_once.py
	$(BIN)/python benchmarks/session_starts.py
	$(BIN)/python benchmarks/peers.py

docs: $(READY)
	$(BIN)/mkdocs build --strict
	@echo "Open build/docs/index.html"

notebooks: $(READY) bubblewrap
	$(BIN)/python notebooks/run.py

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build

# Needs make, a POSIX shell and Python 3.11 or later. Everything else is installed into .venv from requirements.lock.

VENV   ?= .venv
CONFIG ?= configs/train.yaml
JOBS   ?= 2
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

BIN   := $(VENV)/bin
# The environment is current as long as the lock and the project file are what it was made from.
STAMP := $(VENV)/.made-from-$(firstword $(shell cat requirements.lock pyproject.toml | cksum))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install train audit scan atlas signatures report calibrate test check check-style check-format check-types check-docs predict validate doctor ui data smoke docs clean lock notebooks

help:  ## Show this list
	@echo "Usage: make TARGET"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

train: $(STAMP)  ## Get the data, train the three models and evaluate them  [CONFIG=configs/train.yaml]
	$(BIN)/crossres train --config "$(CONFIG)"

smoke: $(STAMP)  ## The same in under a minute, on a small configuration
	$(BIN)/crossres train --config configs/smoke.yaml --output artifacts/smoke

calibrate: $(STAMP)  ## Simulate how often each way to call a driver is wrong  [SCAN=1: the lists of the scan]
	$(BIN)/crossres calibrate --config "$(CONFIG)" --jobs $(JOBS) $(if $(SCAN),--scan)

audit: $(STAMP)  ## Audit the review's claims without training  [CONFIG=configs/train.yaml]
	$(BIN)/crossres audit --config "$(CONFIG)"

scan: $(STAMP)  ## Search everything for events that go with resistance to both  [EVENTS=yours.csv]
	$(BIN)/crossres scan --config "$(CONFIG)" --jobs $(JOBS) $(if $(EVENTS),--events "$(EVENTS)")

atlas: $(STAMP)  ## Show how far every drug goes with radiation, with a page to search  [CONFIG=configs/train.yaml]
	$(BIN)/crossres atlas --config "$(CONFIG)"

signatures: $(STAMP)  ## Put published radiation signatures on trial, beside our models if they are trained
	$(BIN)/crossres signatures --config "$(CONFIG)" --jobs $(JOBS)

report: $(STAMP)  ## Put the training run, the scan and the atlas on one page
	$(BIN)/crossres report

notebooks: $(STAMP)  ## Run the notebooks on the latest results; copies with figures in artifacts/notebooks
	$(BIN)/python pipelines/notebooks.py

predict: $(STAMP)  ## Score new profiles  INPUT=profiles.csv OUTPUT=scores.csv [MODEL=folder or task]
	@test -n "$(INPUT)" && test -n "$(OUTPUT)" || \
		{ echo "usage: make predict INPUT=profiles.csv OUTPUT=scores.csv" >&2; exit 2; }
	$(BIN)/crossres predict "$(INPUT)" --output "$(OUTPUT)" $(if $(MODEL),--model "$(MODEL)")

validate: $(STAMP)  ## Try a model on an independent study  PROFILES=.. RESPONSES=.. TASK=.. [MODEL=folder]
	@test -n "$(PROFILES)" && test -n "$(RESPONSES)" && test -n "$(TASK)" || \
		{ echo "usage: make validate PROFILES=profiles.csv RESPONSES=responses.csv TASK=radiation" >&2; exit 2; }
	$(BIN)/crossres validate --profiles "$(PROFILES)" --responses "$(RESPONSES)" --task "$(TASK)" \
		$(if $(MODEL),--model "$(MODEL)")

doctor: $(STAMP)  ## Check installation, data, disk, models and the log of runs; say what to do
	$(BIN)/crossres doctor

ui: $(STAMP)  ## Open the log of all training runs in the browser
	$(BIN)/crossres ui

data: $(STAMP)  ## Fetch and verify the public data files
	$(BIN)/crossres data fetch

test: $(STAMP)  ## Run the tests  [ARGS="-k name"]
	@mirror="$${CROSSRES_MIRROR:-../shared/data/mirror}"; if [ -d "$$mirror" ]; \
		then echo "Tests marked 'data' read the real files in $$mirror."; \
		else echo "No data files in $$mirror: tests marked 'data' are skipped."; fi
	CROSSRES_OFFLINE=1 $(BIN)/pytest -n $(JOBS) --dist loadfile $(ARGS)

check: check-style check-format check-types check-docs  ## Check style, format, types and docstrings

check-style: $(STAMP)
	$(BIN)/ruff check .

check-format: $(STAMP)
	$(BIN)/ruff format --check .

check-types: $(STAMP)
	$(BIN)/mypy

check-docs: $(STAMP)
	find src pipelines -name '*.py' | sort | xargs $(BIN)/numpydoc lint

docs: $(STAMP)  ## Build the pages into build/docs
	$(BIN)/sphinx-build -W --keep-going -j $(JOBS) -q -b html docs build/docs
	@echo "build/docs/index.html"

clean:  ## Remove the environment and what the tools leave behind; artifacts/ stays
	rm -rf $(VENV) build dist docs/packages .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests pipelines -name __pycache__ -type d -prune -exec rm -rf {} +

lock:  ## Choose the newest versions that the project file allows (needs uv)
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --extra dev --extra build --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --output-file requirements.lock pyproject.toml

install: $(STAMP)  ## Make the environment, if it is not current; the targets above do so themselves

$(STAMP):
	@test -n "$(PYTHON)" || { echo "crossres needs Python 3.11 or later, and there is none on PATH." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "crossres needs Python 3.11 or later; $(PYTHON) is `$(PYTHON) --version 2>&1`." >&2; exit 1; }
	@echo "Making $(VENV) from requirements.lock (some minutes the first time; seconds with uv)."
	@rm -rf $(VENV)
	@if command -v uv >/dev/null; then set -ex; \
		uv venv --quiet --python "$(PYTHON)" $(VENV); \
		uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements.lock; \
		uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .; \
	else set -ex; \
		"$(PYTHON)" -m venv $(VENV); \
		$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock; \
		$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .; \
	fi
	@touch $@

# Every target sets up what it needs in .venv, says what it does, and does it. `make` alone lists them.
#   PYTHON=python3.12 make test    uses that interpreter for a new .venv
#   CHROMIUM=/path make test       uses that browser

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export MPLBACKEND ?= agg
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

ALL := detect,ocr,spark,desk,server,dev
METADATA := settings.ini pyproject.toml setup.py
# pip tells its progress to people and is silent in logs
QUIET := $(shell [ -t 2 ] || echo -q)

.DEFAULT_GOAL := help
.PHONY: help demo detect-demo test test-long lab docs bench clean
.DELETE_ON_ERROR:

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.with-train ## the whole loop on made screenshots, offline: labels in, a published model and a read build out
	@echo "== make demo: labels -> votes -> training -> publication -> update -> a new player's screenshots read"
	@$(BIN)/warp demo

detect-demo: $(VENV)/.with-detect ## the detector line on a made game, offline: sprites, scenes, labels, training, figures, and a page to look at
	@echo "== make detect-demo: extract -> backgrounds -> scenes -> import -> merge -> train -> export -> evaluate -> report"
	@OMP_NUM_THREADS=1 $(BIN)/python dev/detect_demo.py

test test-long: export OMP_NUM_THREADS := 1

test: $(VENV)/.with-$(ALL) ## every check that the hosted workflow runs, browser included
	@echo "== make test: notebooks, layers, base install, desk in a browser, docs site, the loop end to end"
	@CHROMIUM="$$($(BIN)/python dev/browser.py)" && export CHROMIUM && $(BIN)/python -m pytest -m "not long" -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-long: $(VENV)/.with-$(ALL) ## the checks that take many minutes
	@echo "== make test-long: soaks, full sizes, ablations"
	@CHROMIUM="$$($(BIN)/python dev/browser.py)" && export CHROMIUM && $(BIN)/python -m pytest -m long || [ $$? -eq 5 ]

lab: $(VENV)/.with-desk ## the annotation desks in JupyterLab, on this machine, with a made world to try on
	@echo "== make lab: JupyterLab on 127.0.0.1 at the desks; stop it with Ctrl-C"
	@$(BIN)/warp lab

docs: $(VENV)/.with-dev ## the site from the notebooks, into _docs/
	@echo "== make docs: nbs/*.ipynb -> _md/ -> _docs/"
	@$(BIN)/python dev/make_site.py
	@echo "open _docs/index.html"

bench: $(VENV)/.with-$(ALL) ## benchmarks, one after the other; each prints its table
	@for script in bench/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

clean: ## remove .venv and everything that the other targets made
	rm -rf $(VENV) _proc _md _docs build dist out demo detect-demo *.egg-info .pytest_cache .ruff_cache

# The stamp is touched last: an installation that died half-way is done again.
$(VENV)/.with-%: $(METADATA)
	@$(PYTHON) dev/require_python.py
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "== creating $(VENV) with $$($(PYTHON) -V)"; $(PYTHON) -m venv $(VENV); }
	@echo "== installing sets-warp[$*] into $(VENV): some minutes, once (torch, where it is among them, is several gigabytes)"
	@$(BIN)/python -m pip install $(QUIET) --editable '.[$*]'
	@touch $@

# What follows a `|` only shortens what pip prints.
# Another Python:  make lab PYTHON=python3.12      (only counts before .venv exists)
# A server's Lab:  make lab LAB_OPTIONS=--no-browser

SHELL := bash
PYTHON ?= python3
LAB_OPTIONS ?=
BIN := .venv/bin
FIRST := $(firstword $(sort $(wildcard notebooks/*.ipynb)))

# Tests and stored outputs are those of a laptop's CPU, whatever machine runs them.
ON_CPU := MINIVID_SCALE=laptop CUDA_VISIBLE_DEVICES=

INSTALL := set -o pipefail; $(BIN)/python -m pip install --disable-pip-version-check
SHORTLY := | { grep --line-buffered -E '^ *(Downloading|Using cached) [^ ]+(whl|gz) |^Installing|^Successfully' || true; }

.DEFAULT_GOAL := help
.PHONY: help lab test lint notebooks train docs always

help:  ## this list
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /  make \1  -  /'

lab: .venv/.ready .venv/.here  ## install what the course needs, open JupyterLab on the first notebook
	$(BIN)/python -m jupyterlab --ServerApp.root_dir=. $(LAB_OPTIONS) $(FIRST)

test: lint  ## lint, unit tests, every notebook run and its checked outputs compared
	$(ON_CPU) $(BIN)/python -m pytest tests --durations=10
	$(ON_CPU) $(BIN)/python -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=600 -v --durations=10 notebooks/

lint: .venv/.ready-dev .venv/.here  ## ruff: style and format, notebooks too
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

notebooks: .venv/.ready-dev .venv/.here  ## run every notebook again and store its outputs
	$(ON_CPU) $(BIN)/python notebooks/execute.py

train: .venv/.ready .venv/.here  ## train every model again and write data/weights
	$(BIN)/python -m minivid train all

docs: .venv/.ready-docs .venv/.here  ## the notebooks and pages as a site, in build/site
	$(BIN)/python docs/build.py

# The environment. An empty file marks each finished step, so the second run has nothing to do.

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("minivid needs Python 3.11 or newer, but \"$(PYTHON)\" is %d.%d.\nName another one: make PYTHON=python3.11 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	@touch $@

# Scripts in .venv name the folder they were made in. Where it was moved or copied since, they are given the new
# name; the package is found by a relative path, which also sets what torch must find set (minivid/__init__.py).
.venv/.here: .venv/.made always
	@$(BIN)/python -c "$$MOVE" $@ "$(CURDIR)"

define MOVE
import pathlib, re, site, sys
mark, here = pathlib.Path(sys.argv[1]), sys.argv[2]
scripts = [p for p in mark.parent.glob("bin/*") if p.is_file() and not p.is_symlink()]
activate = (mark.parent / "bin" / "activate").read_text()
before = re.search(r"VIRTUAL_ENV=[\"']?([^\"'\n]+)/.venv", activate).group(1)
for path in scripts if before != here else ():
    text = path.read_bytes()
    if text != (moved := text.replace(f"{before}/.venv".encode(), f"{here}/.venv".encode())):
        path.write_bytes(moved)
if not mark.exists() or mark.read_text() != here:
    packages = pathlib.Path(site.getsitepackages()[0])
    for old in packages.glob("__editable__*minivid*"):
        old.unlink()
    (packages / "minivid.pth").write_text("../../../..\nimport minivid\n")
    mark.write_text(here)
endef
export MOVE

.venv/.ready: .venv/.made requirements.txt pyproject.toml
	@echo "Installing the course's packages into .venv: once, some minutes, torch is the large one."
	$(INSTALL) -r requirements.txt $(SHORTLY)
	@touch $@

.venv/.ready-dev: .venv/.ready requirements-dev.txt
	@echo "Installing what the tests need into .venv."
	$(INSTALL) -r requirements-dev.txt $(SHORTLY)
	@touch $@

.venv/.ready-docs: .venv/.ready requirements-docs.txt
	@echo "Installing what the site is built with into .venv."
	$(INSTALL) -r requirements-docs.txt $(SHORTLY)
	@touch $@

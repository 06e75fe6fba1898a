# The course in a few commands. `make help` lists them.
#
#   PYTHON=python3.12      the Python that makes the environment (3.11 to 3.13)
#   TORCH_INDEX=URL|pip    where torch comes from (README, "CPU-only torch")
#   LAB_ARGS="--no-browser --port 8899"
#   CHAPTERS="01 04"       for run and offline; empty means all
#   WORKERS=4              processes that share the tests (0: none beside the first)

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CHAPTERS ?=
LAB_ARGS ?=
TEST_ARGS ?=
WORKERS ?= 2
export TOKENIZERS_PARALLELISM ?= false
# The models are tiny: in tests a second thread costs more than it gives, on a busy machine far more.
test quick: export OMP_NUM_THREADS ?= 1

# JupyterLab refuses root unless told otherwise; in a container root is the usual user.
ROOT_ARG := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)
# A read-only extension manager asks no package index. (News and updates: see tools/setup_env.py.)
LAB_FLAGS := $(ROOT_ARG) --LabApp.extension_manager=readonly --ServerApp.root_dir=.

.PHONY: help setup lab test quick run exercises offline pins
.DEFAULT_GOAL := help

help:            ## list the commands
	@sed -n 's/^\([a-z]*\):[^#]*## /  make \1\t/p' Makefile | expand -t 18

setup:           ## make the environment (quick when nothing changed)
	@TORCH_INDEX="$(TORCH_INDEX)" $(PYTHON) tools/setup_env.py $(VENV)

lab: setup       ## open the course in JupyterLab
	@$(BIN)/jupyter trust notebooks/*.ipynb >/dev/null
	$(BIN)/jupyter lab $(LAB_FLAGS) $(LAB_ARGS) notebooks/00_start_here.ipynb

test: setup      ## everything: unit tests and every notebook (about 15 minutes on 2 cores)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadscope --nbval-lax $(TEST_ARGS) tests $(wildcard notebooks exercises solutions)

quick: setup     ## before each commit: lint and the quick tests (under 90 seconds)
	$(BIN)/ruff check
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadscope -m "not slow" $(TEST_ARGS)

run: setup       ## execute the chapters: seconds, memory, claims and figures of each
	$(BIN)/mtl-teach run $(CHAPTERS)

exercises: setup ## make the exercises from the solutions
	$(BIN)/mtl-teach release $(CHAPTERS)

offline: setup   ## the same in a network namespace without interfaces (Linux)
	unshare -rn $(BIN)/python tools/offline.py $(BIN)/mtl-teach run $(CHAPTERS)

pins: setup      ## write constraints.txt anew from what is installed
	@(sed -n '/^#/p' constraints.txt; $(BIN)/pip freeze --all --exclude pip --exclude-editable | sed 's/+cpu$$//') > constraints.new
	@mv constraints.new constraints.txt

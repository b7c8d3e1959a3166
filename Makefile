# One vocabulary for hand, hook and CI. `make help` says what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c

RECIPE ?= recipes/breast-cancer.yaml
VENV := .venv
PY := $(VENV)/bin/python
WORKERS ?= 2
GUARANTEE_WORKERS ?= 3  # most of these tests wait: for an outage to end, for a process to be found dead
BASE ?= python:3.11.13-slim-bookworm
IMAGE ?= onerun:dev
export BASE

.PHONY: help
help:  ## what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
	echo "  variables: RECIPE=recipes/x.yaml ARGS='--set split.seed=7' TESTS=tests/domain WORKERS=4 PYTHON=python3.13"
	echo "             TABLE=--write (make guarantees writes its table into the docs)"

.PHONY: train
train: set-up  ## set up what is needed and train $(RECIPE)
	@exec $(PY) -m flows.train --recipe $(RECIPE) $(ARGS)

.PHONY: test
test: set-up-dev  ## all tests but the long suites
	@exec $(PY) -m pytest -n $(WORKERS) --dist worksteal -m "not long" $(TESTS) $(ARGS)

.PHONY: system
system: set-up-dev  ## deployments, workers, retries, kills, real servers (up to 25 minutes)
	@exec $(PY) -m pytest -m long tests/system tests/deployments --ignore tests/system/test_kubernetes.py $(ARGS)

# Besides what `make test` needs: Prefect's Kubernetes worker, which the image's lock pins, and the schemas of newer
# Kubernetes versions (108 MB, so in no lock), by which manifests and Jobs are judged.
.PHONY: system-kubernetes
system-kubernetes: set-up-dev set-up-image  ## the same on the cluster that KUBECONFIG names (BASE=image to build on)
	@test -L $(VENV) || $(PY) -m pip install --quiet --disable-pip-version-check "kubernetes-validate==1.37.0"
	exec $(PY) -m pytest tests/deployments/test_manifests.py tests/deployments/test_job_template.py tests/system/test_kubernetes.py $(ARGS)

.PHONY: system-maintenance
system-maintenance: set-up-dev  ## maintenance, archives, rescue: killed at every step, every kind of damage (4 minutes)
	@export HYPOTHESIS_PROFILE=searching
	exec $(PY) -m pytest -m long tests/cleanup tests/archive tests/rescue tests/flows $(ARGS)

.PHONY: image
image:  ## the container image (BASE=image to build on, IMAGE=name:tag)
	@docker build --build-arg BASE=$(BASE) --build-arg COMMIT=$$(git describe --always --abbrev=40 --exclude="*" --dirty) --tag $(IMAGE) .

.PHONY: quick
quick: set-up-dev  ## the tests that take no more than seconds
	@exec $(PY) -m pytest -n $(WORKERS) -m "not slow and not long" $(TESTS) $(ARGS)

.PHONY: guarantees
guarantees: set-up-dev  ## kill, cut, fill and corrupt, and print the table of docs/guarantees.md (half an hour)
	@rm -rf build/guarantees
	HYPOTHESIS_PROFILE=searching $(PY) -m pytest -n $(GUARANTEE_WORKERS) --dist worksteal tests/guarantees $(ARGS) || failed=1
	$(PY) -m tests.guarantees.table $(TABLE)
	exit $${failed:-0}

.PHONY: lint
lint: set-up-dev  ## style, types, and the direction of imports
	@PATH="$(VENV)/bin:$$PATH"
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-cache

.PHONY: format
format: set-up-dev  ## let ruff mend what it can
	@$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

.PHONY: bench
bench: set-up-dev  ## product, floor and bare script, interleaved: time and memory
	@exec $(PY) -m benchmarks.measure $(ARGS)

.PHONY: figures
figures: set-up-dev  ## what a reader of the code pays for: sizes, density, names, call paths
	@exec $(PY) -m benchmarks.figures

.PHONY: bench-maintenance
bench-maintenance: set-up-dev  ## maintenance beside MLflow's own client and gc, on SQLite and PostgreSQL
	@exec $(PY) -m benchmarks.maintenance $(ARGS)

.PHONY: up down status logs
up: set-up  ## Prefect, MLflow, a worker and the deployments on this machine
	@exec $(PY) -m deployments.stack up $(ARGS)
down: set-up  ## end what `make up` started; data stays
	@exec $(PY) -m deployments.stack down $(ARGS)
status: set-up  ## what of it runs
	@exec $(PY) -m deployments.stack status $(ARGS)
logs: set-up  ## what its processes wrote (ARGS='worker --follow')
	@exec $(PY) -m deployments.stack logs $(ARGS)

.PHONY: doctor
doctor: set-up  ## whether trainings can run here
	@exec $(PY) -m flows.doctor $(ARGS)

.PHONY: lock
lock:  ## renew the lock files (needs uv)
	@compile="uv pip compile --quiet --upgrade --universal --python-version 3.11 --fork-strategy fewest \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-strip-extras pyproject.toml"
	$$compile --output-file requirements.lock --extra checkout
	$$compile --output-file requirements-dev.lock --extra dev --constraint requirements.lock
	$$compile --output-file requirements-image.lock --extra image --constraint requirements-dev.lock
	for lock in requirements.lock requirements-dev.lock requirements-image.lock; do
	  awk '$(WITHOUT_EXTRAS)' $$lock > $$lock.new && mv $$lock.new $$lock
	done

# The pip that came with Python 3.11 takes package[extra] for another package than package: both get their pin.
WITHOUT_EXTRAS = function out() { plain = block; if (sub(/^[^ =[]+\[[^]]*\]/, name, plain)) printf "%s", plain; \
  printf "%s", block; block = "" } /^[^ ]/ { out(); name = $$1; sub(/\[.*/, "", name) } \
  { block = block $$0 "\n" } END { out() }

.PHONY: torch
torch: set-up-dev  ## PyTorch, for its example and tests (pip decides which build)
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null
	$(PY) -m pip install --quiet "torch==2.13.0"

# The environment is made once and renewed when a lock file changes. A .venv that is a link belongs to somebody else.
.PHONY: set-up set-up-dev set-up-image
set-up: $(if $(shell test -L $(VENV) && echo link),,$(VENV)/.installed-requirements)  ## .venv with what running needs
set-up-dev: $(if $(shell test -L $(VENV) && echo link),,$(VENV)/.installed-requirements-dev)  ## .venv with the tools for tests too
set-up-image: $(if $(shell test -L $(VENV) && echo link),,$(VENV)/.installed-requirements-image)  ## .venv with what the image holds

$(VENV)/.installed-%: %.lock | $(VENV)/bin/python
	@echo "installing $< into $(VENV)" >&2
	install="$(PY) -m pip install --quiet --disable-pip-version-check"
	if command -v uv >/dev/null && uv --version >/dev/null 2>&1; then
	  install="uv pip install --quiet --python $(PY)"
	fi
	$$install --require-hashes --requirement $<
	if [[ $< != *image* ]]; then  # the command `onerun`, on this checkout; built by what the lock holds
	  $$install --no-deps --no-build-isolation --editable .
	fi
	touch $@

SUPPORTED := import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
$(VENV)/bin/python:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do
	  if $$python -c '$(SUPPORTED)' 2>/dev/null; then
	    echo "making $(VENV) with $$($$python --version)" >&2
	    exec $$python -m venv $(VENV)
	  fi
	done
	echo "needs Python 3.11, 3.12 or 3.13 with venv (Debian: apt install python3-venv); python3 here is" \
	  "$$(python3 --version 2>&1 | tail -1). Name one: make train PYTHON=/path/to/python3.12" >&2
	exit 2

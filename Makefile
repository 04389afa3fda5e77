# `make help` lists what there is.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

.PHONY: install
install: $(BIN)/.installed ## Install the project and its tools into .venv

.PHONY: quickstart
quickstart: ## A cluster with the platform, a tenant, an agent, and its first answer
	@hack/quickstart.sh

.PHONY: env
env: ## Print KUBECONFIG, AGENTIC_URL and AGENTIC_API_KEY for eval
	@hack/env.sh

.PHONY: cluster-up
cluster-up: ## Start a local cluster and print its kubeconfig
	@hack/cluster-up.sh

.PHONY: cluster-down
cluster-down: ## Stop and remove the local cluster
	@hack/cluster-down.sh

.PHONY: images
images: ## Build the images and load them into the local cluster
	@hack/images.sh

.PHONY: test
test: install ## Run all tests, those on a real cluster included; ARGS are pytest's, here and below
	hack/test.sh $(ARGS)

.PHONY: test-fast
test-fast: install ## Run the tests without a node that are short: pure ones, on PostgreSQL, on an API server
	hack/test.sh fast $(ARGS)

.PHONY: test-slow
test-slow: install ## Run the tests without a node that take longer
	hack/test.sh slow $(ARGS)

.PHONY: test-e2e
test-e2e: install ## Run the tests on a real cluster with real pods
	hack/test.sh e2e $(ARGS)

.PHONY: check
check: install ## Format, lint, types, imports, generated files, dead code, dependencies, docs
	hack/check.sh

.PHONY: generate
generate: install ## Write all generated files again
	hack/generate.sh

.PHONY: bench
bench: install ## Run the benchmarks and print their table
	$(BIN)/python -m benchmarks

.PHONY: clean
clean: ## Remove the local cluster, caches and the virtual environment
	@hack/cluster-down.sh || true
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache dist build

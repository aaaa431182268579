# `make help` lists the targets. Everything runs in .venv, made once by `make setup`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo
STAMP := $(VENV)/.ready-$(shell cat requirements.lock setup.py scripts/setup.sh 2>/dev/null | cksum | cut -d' ' -f1)

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench package airflow test-airflow airflow-demo clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## install everything into .venv; a second run does nothing

$(STAMP): requirements.lock setup.py scripts/setup.sh
	@PYTHON=$(PYTHON) VENV=$(VENV) bash scripts/setup.sh
	@rm -f $(VENV)/.ready-*; touch $@

demo: setup ## a simulated world through the whole chain, a model, and the coverage page
	@$(BIN)/headrace demo --out $(DEMO)

lint: setup ## ruff (lint and format) and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

test: lint ## lint, then all tests: those with a Spark session or cluster, and beside them those without
	@bash scripts/browser.sh
	@$(BIN)/python -m pytest -m "not spark" > $(VENV)/plain-tests.log 2>&1 & plain=$$!; \
	$(BIN)/python -m pytest -m spark -n 2 --dist loadfile --no-loadscope-reorder; with=$$?; \
	wait $$plain; without=$$?; cat $(VENV)/plain-tests.log; exit $$((with | without))

package: setup ## wheel, requirements of executors and the bundle for spark-submit, into dist/
	@$(BIN)/python scripts/package.py

airflow: ## Airflow into .venv-airflow, a venv of its own
	@PYTHON=$(PYTHON) bash scripts/airflow.sh

test-airflow: setup airflow ## the DAGs in a real Airflow, nights by spark-submit on a standalone cluster
	@.venv-airflow/bin/python -m pytest -c tests/airflow/airflow.ini tests/airflow

airflow-demo: setup airflow ## a standalone Airflow on loopback with the DAGs over a made world
	@bash scripts/airflow_demo.sh

format: setup ## let ruff rewrite
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: setup ## the benchmarks at small scale, tables and JSON into benchmarks/out/
	@mkdir -p benchmarks/out
	@for name in features ingest memory nightly nights sampling coverage report loader trainer metrics prerank skew wide scale; do $(BIN)/python -m benchmarks.$$name --scale small --out benchmarks/out/$$name.json || exit 1; done

clean: ## remove the demo and caches, keep .venv
	@rm -rf $(DEMO) build *.egg-info .pytest_cache .ruff_cache .mypy_cache

# Everything a newcomer types. `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help install tools demo test coverage services test-services check lock ui reports scenario cluster bench benchmarks-table images bento-images up down back-up restore clean clean-data

# No tool reports home.
export DO_NOT_TRACK = 1
export DAGSTER_DISABLE_TELEMETRY = 1
export GX_ANALYTICS_ENABLED = false
export MLFLOW_DISABLE_TELEMETRY = true
export BENTOML_DO_NOT_TRACK = True

# Byte code is kept: without it every process would compile what it imports anew.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
STAMP := .venv/.installed
TOOLS := .venv/.tools
# The first of these that runs and is 3.11 to 3.13 makes .venv; `make install PYTHON=/path/to/python` states another.
PYTHON ?= python3.11 python3.12 python3.13 python3 python

# Tests of a file stay together: what they share is made once.
SIDE_BY_SIDE = -n 2 --dist loadfile

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## create .venv with everything pinned (once, 2 to 4 minutes)

# --no-compile: a third of the time goes into byte code of modules that nothing here imports.
$(STAMP): pyproject.toml constraints.txt
	@set -e; start=$$(date +%s); python=; \
	for candidate in $(PYTHON); do \
		if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
			python=$$candidate; break; \
		fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "vae-pipeline needs Python 3.11, 3.12 or 3.13: tried $(PYTHON); install one, or name it: make install PYTHON=/path/to/python3.11" >&2; \
		exit 1; \
	fi; \
	echo "Installing into .venv with $$($$python --version), about 200 packages, 2 GB: takes 2 to 4 minutes, once."; \
	"$$python" -m venv .venv; \
	$(BIN)/python -m pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt -e .; \
	touch $@; \
	echo "Installed in $$(( $$(date +%s) - start )) s."

tools: $(TOOLS) ## add what the tests and checks need, and all extras

$(TOOLS): $(STAMP)
	@echo "Adding tools and extras to .venv, about 100 packages: takes 1 to 2 minutes, once."
	@$(BIN)/python -m pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: install ## train on generated engines, recordings and pictures, print the result tables
	@$(BIN)/vae-pipeline demo

test: tools ## run the tests, two files at a time
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE)

coverage: tools ## run the tests and see what of the code they run; takes nearly twice as long
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) --cov --cov-report=term

services: tools ## run PostgreSQL, an S3 store and MLflow on this machine, without a container engine
	@$(BIN)/python -m infra.services

test-services: tools ## run the tests of the chain on PostgreSQL, S3 and an MLflow server
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) --services -m services

check: tools ## lint, format, types, architecture, Dagster definitions
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/dg check defs

lock: tools ## pin what the services load, with hashes, and list it as a bill of materials
	@$(BIN)/uv pip compile bentos/requirements.in -c constraints.txt --generate-hashes --python-version 3.11 \
		--no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet --output-file bentos/requirements.txt
	@$(BIN)/python bentos/bill_of_materials.py

ui: install ## open the Dagster UI
	@$(BIN)/vae-pipeline ui

reports: install ## open Evidently's UI with all drift reports
	@workspace=$$($(BIN)/python -m vae_pipeline.drift.workspace) && $(BIN)/evidently ui --workspace "$$workspace"

scenario: tools ## play the loop on engines of FD001: drift, new data, retraining, hand-over (20 minutes)
	@$(BIN)/python -m benchmarks.scenario --write

cluster: tools ## run a backfill here and on two Ray nodes, one of them killed (20 minutes)
	@$(BIN)/python -m benchmarks.cluster --write

bench: tools ## measure throughput on this machine
	@$(BIN)/python -m benchmarks.throughput

benchmarks-table: tools ## measure accuracy beside the baselines, write the table in docs/benchmarks.md
	@$(BIN)/python -m benchmarks.peers FD001 FD002 --write

# Compose of the grown-up installation: docker's, or `make up COMPOSE="podman compose"`.
COMPOSE ?= docker compose
# What is changed by hand, such as mounts of your own, may stand in infra/compose.override.yaml.
COMPOSED = $(COMPOSE) --env-file infra/.env $(addprefix -f ,infra/compose.yaml $(wildcard infra/compose.override.yaml))
# SERVING=1 also for the three services and Nginx, once there are images of champions.
PROFILES = $(if $(SERVING),--profile serving)

# What all of them need, or one sentence that says what is missing.
define READY
	if ! $(COMPOSE) version >/dev/null 2>&1; then \
		echo "$(COMPOSE) does not answer: install docker with its compose plugin, or name another: make $@ COMPOSE=\"podman compose\"" >&2; exit 1; \
	fi; \
	if [ ! -f infra/.env ]; then \
		echo "infra/.env is missing: cp infra/.env.example infra/.env and fill in the passwords" >&2; exit 1; \
	fi
endef

# A setting that would reach no container, in one sentence: one of .env that no file of compose passes on, one of
# pipeline.env that compose.yaml sets itself.
define HEARD
	for name in $$(sed -n 's/^\(VAE_PIPELINE_[A-Z_]*\)=..*/\1/p' infra/.env); do \
		if ! grep -q "[{]$$name[}:]" infra/compose*.yaml; then \
			echo "infra/.env: $$name reaches no container; write it into infra/pipeline.env" >&2; exit 1; \
		fi; \
	done; \
	for name in $$(sed -n 's/^\([A-Z][A-Z0-9_]*\)=.*/\1/p' infra/pipeline.env 2>/dev/null); do \
		if grep -q "^ *$$name:" infra/compose.yaml; then \
			echo "infra/pipeline.env: $$name is set by infra/compose.yaml, which goes before it; take it out, or set it in infra/.env or infra/compose.override.yaml" >&2; exit 1; \
		fi; \
	done
endef

images: ## build the images of the code location, the MLflow server and the S3 store
	@$(READY)
	@$(COMPOSED) build

bento-images: install ## build an image of the champions of each line
	@$(BIN)/python -m infra.bento_images

up: ## start everything in infra/compose.yaml; with SERVING=1 the services too
	@$(READY)
	@$(HEARD)
	@for file in service_token alerts; do \
		if [ ! -f infra/secrets/$$file ]; then \
			echo "infra/secrets/$$file is missing: infra/secrets/README.md says how to make it" >&2; exit 1; \
		fi; \
	done
	@$(COMPOSED) $(PROFILES) up --detach

down: ## stop what make up started; what it keeps stays in its volumes
	@$(READY)
	@$(COMPOSED) --profile serving down

# Files of a back-up belong to who asks. Where an engine without root maps users, root inside is who asks outside:
# make back-up BACKUP_USER=0:0
BACKUP_USER ?= $$(id -u):$$(id -g)
BACKED = $(COMPOSED) run --rm --user "$(BACKUP_USER)" back-up

back-up: ## copy registry and storage of what make up started into infra/backups, while it works
	@$(READY)
	@$(BACKED)

restore: ## bring BACKUP=<time> of infra/backups into an installation that is empty
	@$(READY)
	@if [ -z "$(BACKUP)" ]; then \
		echo "which back-up? make restore BACKUP=20260131T120000Z, a folder of BACKUP_FOLDER" >&2; exit 1; \
	fi
	@$(BACKED) vae-pipeline restore "/backups/$(BACKUP)"

clean: ## remove .venv and caches; what was trained stays
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage coverage.xml htmlcov dist build
	rm -rf .tmp_dagster_home_*
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

clean-data: ## remove .vae_pipeline: raw data, models, runs
	rm -rf .vae_pipeline

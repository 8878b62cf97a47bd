# Sets up the environment and calls `seance`; `make help` lists the targets. Needs GNU make and Python 3.11 or newer.
# PORT=8100 GATEWAYS=3 WORKERS=2 DETACH=1 SPIRIT=1 and the whole environment are passed on.

PYTHON ?= python3
VENV := .venv
SEANCE := $(VENV)/bin/seance
CLUSTER_HOME := $(or $(SEANCE_HOME),.seance)
# A part of the tests: `make test TESTS=tests/unit`.
TESTS ?= tests
# For 2 cores: tests of processes wait more than they compute. tests/conftest.py orders the files.
PYTEST_FLAGS ?= -n 5 --dist loadfile --no-loadscope-reorder

# The tests start hundreds of processes; without compiled files each would compile the whole project anew.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: up down status scale restart migrate check audit test bench chaos attack conformance fuzz clean-data help
.NOTPARALLEL:
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1|\2/p' Makefile | while IFS='|' read -r name text; do printf '%-16s %s\n' "$$name" "$$text"; done

up: $(VENV)/.cluster ## start everything: PORT=8000 GATEWAYS=2 WORKERS=1; DETACH=1 returns when it is ready
	@exec $(SEANCE) up

down: | $(SEANCE) ## drain and stop everything; the data is kept
	@exec $(SEANCE) down

status: | $(SEANCE) ## show the replicas, their own addresses and their state
	@exec $(SEANCE) status

scale: | $(SEANCE) ## scale the running cluster: GATEWAYS=5, WORKERS=2
	@exec $(SEANCE) scale

restart: | $(SEANCE) ## replace the gateways one by one
	@exec $(SEANCE) restart

migrate: $(VENV)/.cluster ## apply the database migrations
	@exec $(SEANCE) migrate

check: $(VENV)/.dev $(VENV)/.audit ## lint, format, types, architecture, container files, known faults
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/pytest -q tests/unit/test_architecture.py
	deploy/check
	@$(VENV)/bin/python deploy/audit.py

audit: $(VENV)/.audit ## look for known faults of all pinned packages, where the database OSV can be reached
	@$(VENV)/bin/python deploy/audit.py

test: $(VENV)/.dev ## all tests with branch coverage; TESTS=tests/unit for a part
	@rm -rf .coverage .coverage.*
	$(VENV)/bin/coverage run -m pytest $(PYTEST_FLAGS) $(TESTS)
	@$(VENV)/bin/coverage combine --quiet
	@$(VENV)/bin/coverage report $(if $(filter tests,$(TESTS)),,--fail-under=0)

bench: $(VENV)/.bench ## measure beside the peers, 12 minutes; SCENARIO=fan-out for one, QUICK=1 for a short one
	@exec $(VENV)/bin/python -m bench run $(if $(SCENARIO),--scenario $(SCENARIO))

chaos: $(VENV)/.dev ## faults under load, 8 minutes; SEED=7 SCENARIO=jitter QUICK=1; `--list`: docs/reliability.md
	@exec $(VENV)/bin/python -m tests.chaos

attack: $(VENV)/.dev ## floods, guesses and fills beside two users who talk, 12 minutes; ATTACK=typing QUICK=1; `--list`: docs/security.md
	@exec $(VENV)/bin/python -m tests.attack

conformance: $(VENV)/.dev ## the Autobahn test suite against the WebSocket codec; needs Python 2.7
	@$(VENV)/bin/python -m tests.conformance

fuzz: $(VENV)/.dev ## random input against the codec, the commands and a running cluster; FUZZ_SECONDS=60
	@$(VENV)/bin/python -m tests.fuzz

clean-data: | $(if $(wildcard $(CLUSTER_HOME)),$(SEANCE)) ## remove the data and logs of the stopped cluster
	@test ! -x $(SEANCE) || exec $(SEANCE) clean-data

# Made again whenever one of its sources has changed.
$(VENV)/.cluster: requirements/cluster.txt pyproject.toml
	@$(PYTHON) cluster/environment.py cluster

$(VENV)/.dev: requirements/dev.txt pyproject.toml
	@$(PYTHON) cluster/environment.py dev

$(VENV)/.audit: requirements/audit.txt $(VENV)/.dev
	@$(PYTHON) cluster/environment.py audit

$(VENV)/.bench: requirements/bench.txt pyproject.toml
	@$(PYTHON) cluster/environment.py bench

# For commands on a running cluster: only made when there is no environment yet. Where there is no folder of a cluster
# either, none was ever started, and nothing needs to be installed to say so.
$(SEANCE):
	@test -d "$(CLUSTER_HOME)" || { echo "no cluster is running here; start one with \`make up\`" >&2; exit 3; }
	@$(PYTHON) cluster/environment.py cluster

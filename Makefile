# GNU make and a POSIX shell. `make help` prints what there is; .venv/ is made on the way.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# The peers that we are measured beside have an environment of their own: nothing else needs them.
BENCH_VENV := .venv-bench
BENCH_READY := $(BENCH_VENV)/.ready

# The newest Python from 3.11 on; `make PYTHON=/path/to/python …` chooses another.
PYTHON ?= $(shell for name in python3.14 python3.13 python3.12 python3.11 python3; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)

# Programs of ours, beside the package, that the same rules hold for.
PROGRAMS := $(wildcard cmd tools benchmarks sdk/python/src/task_scheduler sdk/python/contract)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo dev test check oracle faults fuzz api-fuzz bench bench-full soak lint lock schemas openapi errors clean

help: ## Print this
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Install what is missing, start RabbitMQ and Redis, run tasks for users, show what happened
	@$(BIN)/python -m taskqueue.dev.demo

dev: $(READY) ## Start RabbitMQ, Redis, scheduler, workers and a target, and stay until Ctrl-C
	@$(BIN)/taskqueue dev

# Most tests wait for processes and services, so two at a time take little more than half as long; each of the two starts
# services of its own, and the tests of one file stay together. The Java SDK comes first, for it may have to install jars; 3
# is that there is no JDK.
test: lint ## Everything CI runs: the checks and all tests, on real services
	sdk/java/build.sh compile || test $$? -eq 3
	$(BIN)/pytest --require-services -n 2 --dist loadfile

check: lint ## The fast part of it: format, lint, types, layers, sizes, unit tests
	$(BIN)/pytest tests/unit sdk/python/tests

oracle: $(READY) ## Compare intervals with the clocks of fifty zones, minute by minute, for some minutes
	$(BIN)/pytest -m oracle tests/unit/core --durations=3

faults: $(READY) ## Kill leaders and workers twenty times at each step of their work, and judge at the endpoint: an hour and a half
	$(BIN)/pytest --require-services tests/faults tests/acceptance/test_crashes.py tests/acceptance/test_demo.py \
		tests/acceptance/test_live_limits.py tests/acceptance/test_worker_outages.py -m "faults or not faults"

fuzz: $(READY) ## Send a worker ten thousand malformed messages, for some minutes
	$(BIN)/pytest --require-services tests/acceptance/test_fuzzed_messages.py -m "fuzz or not fuzz"

api-fuzz: $(READY) ## Send the API ten thousand requests that are made from its document, for some minutes
	$(BIN)/pytest --require-services tests/acceptance/api/test_contract_fuzz.py -m fuzz -rP

bench: $(READY) $(BENCH_READY) ## Measure, beside peers and bare loops in the same run: a quarter of an hour
	@$(BIN)/python benchmarks/run.py

bench-full: $(READY) $(BENCH_READY) ## The same with a million users: an hour
	@$(BIN)/python benchmarks/run.py --full

soak: $(READY) ## Keep a worker busy for ten minutes, then put a million messages before it: does it grow?
	@$(BIN)/python benchmarks/soak.py --minutes 10
	@$(BIN)/python benchmarks/soak.py --backlog 1000000 --minutes 2

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy sdk/python/contract/driver.py
	$(BIN)/lint-imports
	$(BIN)/python tools/size_gate.py taskqueue $(PROGRAMS)
	$(BIN)/python tools/size_gate.py --files-only tests sdk/python/tests

# The image gets what the tests run with: its locks are held to the versions of dev.lock.
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet

lock: $(READY) ## Write requirements/*.lock anew from pyproject.toml
	$(LOCK) --upgrade pyproject.toml --group dev -o requirements/dev.lock
	$(LOCK) --upgrade --group pyproject.toml:bench -o requirements/bench.lock
	$(LOCK) --upgrade pyproject.toml --constraint requirements/dev.lock -o requirements/runtime.lock
	$(LOCK) --upgrade --group pyproject.toml:image --constraint requirements/dev.lock -o requirements/build.lock

schemas: $(READY) ## Write the JSON Schemas in config/ anew from the models
	$(BIN)/python -m taskqueue.config.schema

openapi: $(READY) ## Write openapi.json anew from the endpoints
	$(BIN)/python -m taskqueue.api.openapi

errors: $(READY) ## Write docs/errors.md anew from the codes and the cases of the tests
	$(BIN)/python -m tools.errors_page

clean: ## Remove everything that make and the tools made
	rm -rf $(VENV) $(BENCH_VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .taskqueue-dev
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements/dev.lock pyproject.toml tools/bootstrap.py
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; install it or set PYTHON=" >&2; exit 1; }
	@"$(PYTHON)" tools/bootstrap.py
	@touch $@

$(BENCH_READY): requirements/bench.lock $(READY)
	@$(BIN)/python -m venv --clear $(BENCH_VENV)
	@$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The Python of the images, on which the parts' unit tests run too.
IMAGES_PYTHON := 3.13
IMAGES_VENV := $(VENV)-$(IMAGES_PYTHON)
# Versions that the broker tests run against, side by side.
RABBITMQ ?= 3.10 4.0
WITH_CLUSTER := $(BIN)/python -m dev.with_cluster --
PYTEST := $(BIN)/python -m pytest

.PHONY: help
help: ## Print this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-22s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\n  With KUBE_CONTEXT=name, demo and tests use that cluster; without, kind or a local one-node cluster.\n'

.PHONY: demo
demo: ## Run the main job: send 60 tasks, watch the workers come and go; without a cluster on this machine
	@$(PYTHON) -m dev.early_broker > /dev/null 2>&1 & $(MAKE) --silent --no-print-directory setup
	@$(BIN)/python -m dev.local_demo

.PHONY: demo-cluster
demo-cluster: setup ## The same on Kubernetes: KUBE_CONTEXT, kind, or a local one-node cluster, which it makes
	@$(WITH_CLUSTER) $(BIN)/python -m dev.demo

.PHONY: demo-grafana
demo-grafana: setup ## Put Prometheus and Grafana with our dashboards and alerts beside the demo, print their addresses
	@$(WITH_CLUSTER) $(BIN)/python -m dev.demo_grafana

.PHONY: clean-demo
clean-demo: ## Remove what the demo made, and only that; makes nothing first
	@$(PYTHON) -m dev.with_cluster --existing -- $(PYTHON) -m dev.clean_demo

.PHONY: test
# All of it, or it says what is missing: nothing is skipped.
test: export CI ?= 1
test: setup $(IMAGES_VENV)/.installed ## Run all tests: unit, then real broker and real cluster side by side
	@$(BIN)/python -m dev.suites $(RABBITMQ)

.PHONY: test-unit
test-unit: setup ## Run the tests that need nothing but Python and openssl, in a minute
	@$(PYTEST) -q --numprocesses=4 --dist=worksteal --durations=10 tests/unit tests/architecture

.PHONY: test-unit-images
test-unit-images: $(IMAGES_VENV)/.installed ## Run the unit tests of the parts on the Python of the images
	@$(IMAGES_VENV)/bin/python -m pytest -q --numprocesses=4 --dist=worksteal --hypothesis-profile=few \
	  tests/unit/broker tests/unit/producer tests/unit/worker tests/unit/operator

.PHONY: test-broker
test-broker: setup ## Run the tests against two real RabbitMQs; RABBITMQ=4.0, docker:4.0 or amqp://guest:guest@127.0.0.1/ for one
	@$(BIN)/python -m dev.broker_tests $(RABBITMQ)

.PHONY: test-kills
# ROUNDS: how often each test repeats its faults; `make test-broker` has one round.
ROUNDS ?= 8
test-kills: setup ## Kill workers, senders and brokers at random moments, ROUNDS times as often as test-broker
	@$(BIN)/python -m dev.broker_tests --kills $(ROUNDS) $(RABBITMQ)

.PHONY: test-cluster
test-cluster: setup ## Run the tests against a real Kubernetes, and those of the charts
	@$(WITH_CLUSTER) $(BIN)/python -m dev.cluster_tests

.PHONY: test-scale-downs
test-scale-downs: setup ## Run fifty scale-downs beside busy workers on a real cluster, which takes minutes and an idle machine
	@$(WITH_CLUSTER) $(PYTEST) -q -rP tests/cluster -m scale_downs

.PHONY: check
# Each command is a hook of .pre-commit-config.yaml too. A cache of mypy holds one platform.
check: setup ## Lint, types, import contracts, and whether dashboards and charts' READMEs are what is written
	@$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy && $(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/python -m dev.write_dashboards --check
	@$(BIN)/python -m dev.write_chart_readmes --check
	@$(MAKE) --no-print-directory check-workflows

.PHONY: check-workflows
# actionlint is built from the Go module that dev/workflows/go.sum pins. CI has Go; a person without it reads that.
check-workflows: setup ## Lint the workflows of the hosted CI: zizmor, and actionlint where Go is installed
	@$(BIN)/zizmor --offline --no-progress --quiet .github/workflows
	@if command -v go > /dev/null; then go -C dev/workflows tool actionlint $(CURDIR)/.github/workflows/*.yml; \
	elif [ -n "$$CI" ]; then echo "Error: actionlint needs Go on the PATH" >&2; exit 1; \
	else echo "actionlint was not run: it needs Go on the PATH" >&2; fi

.PHONY: release
# BASE: the images' base, if not the one that the Dockerfile names; `local`: the local cluster's Python.
release: setup $(VENV)-release/.installed ## Build wheel, charts, images, SBOMs and checksums of the last commit into dist/
	@$(BIN)/python -m dev.release $(if $(BASE),--base $(BASE)) $(if $(TAG),--tag $(TAG))

$(VENV)-release/.installed: dev/release-requirements.lock | $(VENV)/.installed
	@$(PYTHON) -m venv $(VENV)-release
	@$(VENV)-release/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

.PHONY: dashboards
dashboards: setup ## Write the Grafana dashboards into the operator's chart
	@$(BIN)/python -m dev.write_dashboards

.PHONY: chart-readmes
chart-readmes: setup ## Write the tables of values into the charts' READMEs
	@$(BIN)/python -m dev.write_chart_readmes

.PHONY: dashboards-pictures
# PROMETHEUS: asked again, such as http://localhost:9090 while `kubectl port-forward` of `make demo-grafana` runs.
dashboards-pictures: setup ## Draw the pictures of the dashboards in docs/dashboards; needs npm and Chromium
	@$(BIN)/python -m dev.draw_dashboards $(if $(PROMETHEUS),--prometheus $(PROMETHEUS)) $(DRAW)

# Made again when the lock or the project's metadata change; quiet when it is already there.
$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -m dev.environment $(VENV)

$(IMAGES_VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -m dev.environment $(IMAGES_VENV) $(IMAGES_PYTHON)

.PHONY: setup
setup: $(VENV)/.installed

.PHONY: cluster-up cluster-down
cluster-up: ## Start the local one-node cluster
	@$(PYTHON) -m dev.local_cluster up
cluster-down: ## Stop it; what was built stays for the next time
	@$(PYTHON) -m dev.local_cluster down

COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
  --custom-compile-command "make lock" --quiet --upgrade
.PHONY: lock
lock: ## Write requirements.lock and dev/release-requirements.lock again from pyproject.toml
	@$(PYTHON) -m venv $(VENV) && $(BIN)/pip install --quiet uv
	@$(COMPILE) pyproject.toml --all-extras --group dev --output-file requirements.lock
	@$(COMPILE) --group release --output-file dev/release-requirements.lock

.PHONY: bench-reaction
bench-reaction: setup ## Measure publish to scaled on a real cluster, 200 bursts a queue type
	@$(WITH_CLUSTER) $(BIN)/python -m benchmarks.reaction.run

.PHONY: bench-worker
bench-worker: setup ## Measure the worker beside the tutorial's loop, Celery and Dramatiq, in 12 minutes; wants an idle machine
	@$(BIN)/python -m benchmarks.worker.run --rabbitmq $(firstword $(RABBITMQ))

.PHONY: bench-readings
bench-readings: setup ## Measure the operator's readings of 1,000 queues beside one blocking channel, in 5 minutes
	@$(BIN)/python -m benchmarks.readings.run --rabbitmq $(lastword $(RABBITMQ))

.PHONY: bench-publisher
bench-publisher: setup ## Measure the publisher beside a bare window, one at a time and a Go client, in 10 minutes; needs go
	@$(BIN)/python -m benchmarks.publisher.run --rabbitmq $(firstword $(RABBITMQ))

.PHONY: bench-oldest-message
bench-oldest-message: setup ## Measure the estimated age of a queue's first message beside the real one, on each RabbitMQ
	@for version in $(RABBITMQ); do $(BIN)/python -m benchmarks.oldest_message.run --rabbitmq $$version || exit 1; done

.PHONY: bench-simulation
bench-simulation: setup ## Compare the scaling rules with a model of KEDA, with plots
	@$(BIN)/pip install --quiet --disable-pip-version-check -r benchmarks/simulation/requirements.txt
	@$(BIN)/python -m benchmarks.simulation.run

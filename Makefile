# Everything a developer does, and CI and the git hooks do the same. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test test-all check lint types format docs lock ci-check ci-local ci-image compile-all images push-images submit-e2e gate promote dist release hooks bench-taxi bench-runner bench-data bench-quality bench-training bench-gates bench-evaluation bench-segments bench-serving bench-batch bench-rollout soak clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## build both environments from their locks (seconds when nothing changed)
	@$(PYTHON) tools/setup_envs.py main tfx

setup-dev:  ## the same, with what tests and checks need
	@$(PYTHON) tools/setup_envs.py --dev main tfx

demo: setup  ## StreamFlow's churn: make the data, run the pipeline, serve the model, ask it for a prediction
	@$(BIN)/python examples/churn/demo.py

test: setup-dev  ## the tests (under ten minutes on two cores)
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: setup-dev  ## all tests, the slow ones too
	@$(BIN)/python -m pytest -n 2 --dist loadfile

check: lint types  ## formatter, linter and type checker: what the git hooks and CI call

lint: setup-dev  ## formatter and linter
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: setup-dev  ## type checker
	@$(BIN)/mypy

format: setup-dev  ## put the code into shape
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: setup  ## resolve requirements/*.in anew into the hashed locks
	@$(BIN)/python tools/lock.py

docs: setup-dev  ## write docs/spec.md from the spec's models, and the tables of docs/emulator.md from its routes
	@$(BIN)/python tools/spec_reference.py
	@$(BIN)/python tools/emulator_coverage.py
	@$(BIN)/python tools/emulator_shapes.py

ci-check: setup-dev  ## the files of continuous integration: references, order, substitutions
	@$(BIN)/python -m tools.ci check

ci-local: setup-dev  ## the steps of cloudbuild.yaml in their images, on this machine; FILE=cloudbuild/main.yaml, ARGS="--step lint"
	@$(BIN)/python -m tools.ci run $(FILE) $(ARGS)

ci-image:  ## the image that continuous integration runs in
	docker build --tag headrace/ci --file cloudbuild/Dockerfile cloudbuild

compile-all: setup  ## every example's pipelines into build/pipelines; DIGESTS=FILE: against the images of that file
	@$(BIN)/python -m tools.delivery compile-all $(if $(DIGESTS),--digests $(DIGESTS))

images:  ## build the container images by Docker or Podman; NAMES="components tfx trainer serving trainer-gpu dataflow dataflow-tfx", CACHE_FROM=REGISTRY
	@$(PYTHON) tools/images.py $(NAMES) $(if $(CACHE_FROM),--cache-from "$(CACHE_FROM)")

push-images:  ## the images to REPOSITORY as TAG; their digests into build/images.json; NAMES as above
	@$(PYTHON) tools/images.py $(NAMES) --push --registry "$(REPOSITORY)" --tag "$(TAG)" --cache-from "$(REPOSITORY)" --cache-to "$(REPOSITORY)"

submit-e2e: setup  ## run SPEC's compiled pipeline on the staging PROJECT, and wait: REGION, BUCKET, SERVICE_ACCOUNT, COMMIT
	@$(BIN)/python -m tools.delivery submit-e2e --spec "$(SPEC)" --project "$(PROJECT)" --region "$(REGION)" \
		--bucket "$(BUCKET)" --service-account "$(SERVICE_ACCOUNT)" --commit "$(COMMIT)"

gate: setup  ## did that run do all it should, as the staging PROJECT tells it? REGION, COMMIT
	@$(BIN)/python -m tools.delivery gate --project "$(PROJECT)" --region "$(REGION)" --commit "$(COMMIT)"

promote: setup  ## keep what passed the gate in RELEASES, and make it the current one: COMMIT
	@$(BIN)/python -m tools.delivery promote --releases "$(RELEASES)" --commit "$(COMMIT)"

dist: setup-dev  ## the package into dist/; TAG, version and changelog have to agree
	@$(BIN)/python -m tools.delivery dist --tag "$(TAG)"

release: setup  ## give what was promoted at COMMIT its version's name: TAG, RELEASES, PACKAGES
	@$(BIN)/python -m tools.delivery release --tag "$(TAG)" --commit "$(COMMIT)" --releases "$(RELEASES)" --packages "$(PACKAGES)"

hooks:  ## have git run `make check` before each commit
	@git config core.hooksPath tools/hooks && echo "git runs tools/hooks from now on"

bench-taxi: setup  ## Chicago taxi, CSV to pushed model, beside TFX's LocalDagRunner
	@$(BIN)/python benchmarks/taxi/run.py

bench-runner: setup  ## The local runner beside kfp.local: overhead, six heavy tasks, 1,000 tasks, 10,000 iterations
	@$(BIN)/python benchmarks/runner/run.py

bench-data: setup  ## CSV to validated snapshot at 1 and 20 million rows
	@$(BIN)/python benchmarks/data/run.py

bench-quality: setup-dev  ## The models beside LightGBM, scikit-learn, FLAML and AutoGluon: hours
	@$(BIN)/python benchmarks/quality/run.py

bench-training: setup  ## The training step on a million rows beside the bare learner
	@$(BIN)/python benchmarks/training/run.py

bench-gates: setup  ## How often the paired gate promotes a model that is no better, and one that is
	@$(BIN)/python benchmarks/gates/run.py

bench-evaluation: setup  ## How often the intervals of an evaluation hold the true value
	@$(BIN)/python benchmarks/evaluation/run.py coverage

bench-segments: setup  ## One spec, up to 500 models: time and memory for each
	@$(BIN)/python benchmarks/segments/run.py

bench-serving: setup  ## Our server beside FastAPI, MLServer, BentoML, LitServe, MLflow, Ray Serve, KServe and Vertex's: some 20 minutes
	@$(BIN)/python benchmarks/serving/run.py

bench-batch: setup  ## Batch prediction of 2 and 20 million rows beside a bare ONNX Runtime loop over the same file
	@$(BIN)/python benchmarks/batch/run.py

bench-rollout: setup  ## How often a rollout takes back what is no worse, and promotes what is: simulated
	@$(BIN)/python benchmarks/rollout/run.py

soak: setup  ## Half an hour of load with swaps, killed workers and hostile clients: nothing lost, memory flat
	@$(BIN)/python benchmarks/serving/soak.py

clean:  ## remove the environments, all caches and the demo's data; runs and models in .headrace stay
	@rm -rf .venv .venv-tfx .venv-uv .venv.lock build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@rm -rf examples/*/data benchmarks/.peers
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

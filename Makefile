# Everything runs in an environment of its own, made on first use; VENV=… uses another.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STUDY ?= study
SUITE ?= quick
# one on each GPU; where there is none, two share the processor
WORKERS = $(if $(filter GPU,$(shell [ "$${CUDA_VISIBLE_DEVICES-all}" ] && nvidia-smi -L 2>/dev/null)),,--workers 2)

.PHONY: help run test test-slow check bench bench-gpu bench-optimizers format
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --editable '.[dev]'
	$(BIN)/pip install --quiet --editable '.[hpbandster]' || echo "hpbandster needs a C compiler: its comparison tests will be skipped"
	touch $@

run: $(VENV)/installed  ## search the embedded digits for two minutes, explain, train and test the result
	$(BIN)/bohb-nas run $(STUDY) --dataset digits --budget-min 2s --budget-max 18s --max-flops 5M --total-time 2m $(WORKERS)
	$(BIN)/bohb-nas analyze $(STUDY)
	$(BIN)/bohb-nas train $(STUDY) --seeds 1
	$(BIN)/bohb-nas best $(STUDY) --json

# several processes of tests share the cores: two threads of torch that wait for each other starve there, and an analysis
# that takes them all starts a process for each
test test-slow: export OMP_NUM_THREADS ?= 1
test test-slow: export LOKY_MAX_CPU_COUNT ?= 1

# where Python is told to keep no bytecode, every program that a test starts would compile the whole anew
COMPILE = $(BIN)/python -m compileall -q bohb_nas

test: $(VENV)/installed-dev  ## the tests, without network or GPU
	-@$(COMPILE)
	$(BIN)/python -m pytest -n 2

test-slow: $(VENV)/installed-dev  ## the tests that take minutes: killed processes, full disks, real data
	-@$(COMPILE)
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile

check: $(VENV)/installed-dev  ## style, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-dev  ## measure what the documentation states; takes about three hours on a quiet machine
	$(BIN)/python bench/start.py
	$(BIN)/python bench/suggest.py
	$(BIN)/python bench/scale.py
	$(BIN)/python bench/knowledge.py
	$(BIN)/python bench/few_dimensions.py
	$(BIN)/python bench/cluster.py
	$(BIN)/python bench/watching.py
	$(BIN)/python bench/fanova.py
	$(BIN)/python bench/true_importance.py
	$(BIN)/python bench/analyze.py
	$(BIN)/python bench/handover.py
	$(BIN)/python bench/augment.py
	$(BIN)/python bench/paper_pipeline.py
	$(BIN)/python bench/layouts.py
	$(BIN)/python bench/depthwise.py
	$(BIN)/python bench/allocator.py
	$(BIN)/python bench/planted_autohas.py
	$(BIN)/python bench/planted_dha.py
	$(BIN)/python bench/noisy_labels_dha.py
	$(BIN)/python bench/dha_steps.py
	$(BIN)/python bench/digits.py
	$(BIN)/python bench/running_statistics.py
	$(BIN)/python bench/cifar_jpeg.py
	$(BIN)/python bench/compare.py

bench-gpu: $(VENV)/installed-dev  ## measure the training worker, and a search, on a GPU; fifteen minutes
	$(BIN)/python bench/gpu.py
	$(BIN)/python bench/gpu_search.py

bench-optimizers: $(VENV)/installed-dev  ## compare optimizers on a virtual clock: SUITE=quick (minutes), tuning, confirmation or standard (hours)
	$(BIN)/pip install --quiet --editable '.[benchmarks]'
	$(BIN)/python bench/optimizers.py $(SUITE)

format: $(VENV)/installed-dev  ## bring the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

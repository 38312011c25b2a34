# Everything a new machine needs: Python 3.11 or newer, and this file.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install test quick test-torch fuzz sanitize lint format types workflows demo docs dist smoke figures clean

help:  ## Show what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED)  ## Create .venv with everything in it

SCRIPTS := src/mementum/completion/mementum.bash
NATIVE := $(wildcard src/mementum/native/* src/mementum/native/isa/*)

$(INSTALLED): pyproject.toml constraints.txt $(NATIVE)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[lab,test,dist]'
# timm needs torchvision, whose wheels are built for CUDA: beside torch for CPUs, any
# library that looks for torchvision fails. Both lie apart, for timm's test alone.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--constraint constraints.txt --upgrade --target .venv/timm timm torchvision
	@npm install --silent --no-fund --no-audit --no-save --fetch-retries 1 --prefix .venv/npm \
		axe-core@4.14.1 || echo "axe-core is not here: its test is skipped."
	@touch $@

# Made by every installation, and again when a command or an option has changed.
$(SCRIPTS): $(INSTALLED) src/build_backend.py $(wildcard src/mementum/cli/*.py) \
		$(wildcard src/mementum/lab/cli/*options.py)
	$(BIN)/python src/build_backend.py

# There is a process for each core: more threads would only wait for one another.
test: $(SCRIPTS)  ## Run all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadgroup --durations=15

quick: $(SCRIPTS)  ## Run the tests that start no processes: the inner loop
	OMP_NUM_THREADS=1 MEMENTUM_FUZZ=200 $(BIN)/python -m pytest -n auto \
		--dist loadgroup -m 'not slow and not process'

TORCH_ENV = .venv-torch-$(VERSION)-$(shell $(PYTHON) -c \
	'import sys; print("%d.%d" % sys.version_info[:2])')

TORCH = torch==$(VERSION)

test-torch:  ## Run the optimizers' tests on another torch: VERSION=2.x.y [PYTHON=python3.x]
	$(if $(VERSION),,$(error VERSION says which torch, as in VERSION=2.14.1))
	$(PYTHON) -m venv $(TORCH_ENV)
	grep -v '^torch==' constraints.txt > $(TORCH_ENV)/constraints.txt
	$(TORCH_ENV)/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(TORCH_ENV)/constraints.txt --editable . $(TORCH) \
		hypothesis mpmath pytest pytest-xdist scikit-learn
	OMP_NUM_THREADS=1 $(TORCH_ENV)/bin/python -m pytest -n auto --dist loadgroup \
		tests/torch tests/native tests/family --ignore tests/torch/gpu

fuzz: $(INSTALLED)  ## Try 20,000 random steps
	MEMENTUM_FUZZ=20000 $(BIN)/python -m pytest -n auto tests/native/test_fuzz.py

sanitize: $(INSTALLED)  ## Run the kernel under the address, undefined and thread sanitizers
	cmake -S src/mementum/native -B build/address -DCMAKE_BUILD_TYPE=Release \
		-DMEMENTUM_SANITIZE=address,undefined
	cmake --build build/address --parallel 2
	build/address/mementum_drive 1000
	MEMENTUM_FUZZ=500 MEMENTUM_TEST_KERNEL=build/address/mementum_kernel.so \
		ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so)" \
		$(BIN)/python -m pytest -p no:cacheprovider tests/native/test_fuzz.py
	cmake -S src/mementum/native -B build/thread -DCMAKE_BUILD_TYPE=Release \
		-DMEMENTUM_SANITIZE=thread
	cmake --build build/thread --parallel 2
	build/thread/mementum_drive 400

lint: $(INSTALLED)  ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

types: $(INSTALLED)  ## Check the types of the public names as pyright sees them
	$(BIN)/python release/check.py types

workflows: $(INSTALLED)  ## Check what a host of the repository would run
	$(BIN)/python release/check.py workflows

format: $(INSTALLED)  ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo: $(INSTALLED)  ## Compare the optimizers on real data and write the report
	$(BIN)/mementum compare

dist: $(INSTALLED)  ## Build what is released, twice, and check it
	$(BIN)/python release/dist.py

smoke: $(INSTALLED)  ## Try what `make dist` built in environments of its own
	$(BIN)/python release/environments.py

figures: $(INSTALLED)  ## Draw the pictures of the documentation
	$(BIN)/mementum explain Adam AdamNC AdaX AdamNX --plot docs/site/memory.png > /dev/null
	$(BIN)/python benchmarks/draw_speed.py docs/site/speed.png

# A warning is an error: a link that leads nowhere, a name that is not there.
docs: $(INSTALLED)  ## Build the documentation as a site, in build/docs
	rm -rf build/docs build/doctrees
	$(BIN)/python -m sphinx --builder html --conf-dir docs/site --doctree-dir build/doctrees \
		--nitpicky --fail-on-warning --keep-going --quiet docs build/docs

clean:  ## Remove what the other targets made
	rm -rf .venv .venv-torch-* build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

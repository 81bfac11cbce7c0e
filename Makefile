# make demo: a search on drawn people, from nothing to reports/demo/search.html      make lab: JupyterLab
# make test: the fast tests and the notebooks      make check: style, layers, paper facts      make test-all: the slow ones too, the browser's, every table, Ray
# make smoke: every table of the paper, seconds a run
# make coverage: which lines no fast test reaches      make floors: the fast tests on the oldest packages      make audit: known holes
# make test-browser: the widgets in a real JupyterLab, by Chromium      make test-kernels: its widgets on several versions of ipykernel
# make images: docs/images, taken there      make docs: the documentation as a site, build/site
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
READY_DEV := .venv/.ready-dev
# JupyterLab refuses root without this option
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off
# shows of pip's output the downloads of megabytes, as they begin, and the unpacking
PROGRESS := awk '/(Downloading|Using cached) .*[MG]B\)/ { sub("https?:.*/", ""); print; fflush() } \
	/^Installing collected packages/ { print "  Unpacking", NF - 3, "packages (a minute)"; fflush() }'
ONE_THREAD := OMP_NUM_THREADS=1
PYTEST := -m pytest -n logical --maxprocesses 8 --dist worksteal
KERNELS := 7.1.0 7.2.0 7.3.0 7.4.0
TABLES := table_2 table_3 table_4 table_5 table_6 table_7 figure_6 figure_7 rules are_parts_different

# bytecode is kept whatever the shell says, or each kernel and each process of a test compiles posenfs anew
export PYTHONDONTWRITEBYTECODE :=

# a pipe fails where its first command does
SHELL := bash
.SHELLFLAGS := -o pipefail -c

.PHONY: demo types test test-all test-browser test-kernels smoke images docs check lab install install-dev coverage floors audit
demo: reports/demo/search.html
	@echo "open $(CURDIR)/reports/demo/search.html"

reports/demo/search.html: notebooks/04_search.ipynb | $(READY)
	$(BIN)/posenfs run notebooks/04_search.ipynb -p name=demo
	$(BIN)/posenfs report demo --output $@

test: $(READY_DEV)
	$(ONE_THREAD) $(BIN)/python $(PYTEST) -m "not slow"

test-all: test test-browser smoke
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -e '.[ray]'
	$(ONE_THREAD) $(BIN)/python $(PYTEST) -m slow --ignore tests/browser

test-browser: $(READY_DEV)
	$(BIN)/python -m pytest tests/browser

test-kernels: $(READY_DEV)
	for version in $(KERNELS); do echo "ipykernel $$version"; \
	    $(PIP) --quiet --no-deps --upgrade --target .kernels/$$version ipykernel==$$version && \
	    PYTHONPATH=$(CURDIR)/.kernels/$$version $(BIN)/python -m pytest tests/browser/test_live_widgets.py || exit 1; done

types: $(READY_DEV)
	$(BIN)/mypy

coverage: $(READY_DEV)
	$(ONE_THREAD) $(BIN)/python $(PYTEST) -m "not slow" --cov=posenfs --cov-report=term-missing:skip-covered

floors: $(READY_DEV)
	$(PYTHON) -m venv .venv-floors
	$(BIN)/uv pip install --python .venv-floors/bin/python --resolution lowest-direct -e '.[dev]'
	$(ONE_THREAD) .venv-floors/bin/python $(PYTEST) -m "not slow" --ignore tests/browser

audit: $(READY_DEV)
	$(BIN)/pip-audit --skip-editable

smoke: $(READY)
	$(BIN)/posenfs ablate all --profile smoke --seeds 1 --jobs 2
	printf '%s\n' $(TABLES) | OMP_NUM_THREADS=1 xargs -P 2 -I{} $(BIN)/posenfs report {} -p profile=smoke

images: $(READY_DEV)
	$(BIN)/python -m tests.browser.images docs/images

docs: $(READY_DEV)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open $(CURDIR)/build/site/index.html"

check: $(READY_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/nbstripout --verify --extra-keys "metadata.papermill cell.metadata.papermill" notebooks/*.ipynb
	$(BIN)/python -m pytest tests/test_layers.py tests/test_paper_facts.py

lab: $(READY)
	$(BIN)/jupyter lab $(AS_ROOT) --LabApp.default_url=/lab/tree/notebooks/00_tour.ipynb

install: $(READY)
install-dev: $(READY_DEV)
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "posenfs needs Python 3.11 or newer; try make PYTHON=python3.12")'
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || { rm -rf .venv; $(PYTHON) -m venv .venv; }
	@echo "installing into .venv: about 150 packages, of which torch and its GPU libraries are the largest"
	@$(PIP) -e . | $(PROGRESS)
	@touch $@

# what the tests and checks need besides
$(READY_DEV): $(READY)
	@$(PIP) -e '.[dev]' | $(PROGRESS)
	@touch $@

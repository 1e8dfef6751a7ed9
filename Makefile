# make demo: everything on embedded data, in minutes. make test: lint, types and tests.
# Nothing but Python >= 3.11, make and git is assumed.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CORES  ?= all
DEMO   := results/demo

# Of a loaded module, or of another Python; they would come before what is installed here.
unexport PYTHONPATH PYTHONHOME PYTHONUSERBASE

.PHONY: demo test test-slow test-slurm reliability bench lint types unit install place docs lock clean help
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

demo: install ## The whole pipeline on scikit-learn's digits: figures and report
	$(BIN)/snakemake --cores $(CORES) --configfile config/demo.yaml
	@$(MAKE) --no-print-directory $(DEMO)/report.html
	@echo
	@echo "Figures: $(DEMO)/figures/figure1.png to figure4.png (also .pdf and .svg; numbers in .csv)"
	@echo "Report:  $(DEMO)/report.html"

$(DEMO)/report.html: $(wildcard $(DEMO)/figures/*) workflow/report/*
	$(BIN)/snakemake --cores 1 --configfile config/demo.yaml --report $@

test: lint types unit ## Lint, types and tests

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror cgpipe/learning/aggregation/*.cpp cgpipe/learning/aggregation/*.h
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/lint-imports
	$(BIN)/python tests/workflow/lint.py

types: install
	$(BIN)/mypy

unit: install
	$(BIN)/python -m pytest -n 2 -m "not slow and not gpu and not slurm"
	@echo "Not run here: tests marked slow (make test-slow), gpu (pytest -m gpu), slurm (make test-slurm)"

test-slow: install ## The tests that take minutes
	$(BIN)/python -m pytest -m slow

test-slurm: install ## On a Slurm of one node that is started for it (needs root, munge and slurm-wlm)
	$(BIN)/python tests/slurm/cluster.py start $$(mktemp -d)
	$(BIN)/python -m pytest -n 8 --dist load -m slurm tests/slurm; status=$$?; \
	    $(BIN)/python tests/slurm/cluster.py stop; exit $$status

reliability: ## The same, each training disturbed three times; writes the table of docs/reliability.md
	RELIABILITY=docs/reliability.md TIMES=3 $(MAKE) test-slurm

bench: install ## Speed and memory beside other ways, on MNIST (see docs/performance.md)
	$(BIN)/python -m benchmarks --out results/benchmarks
	$(BIN)/python -m benchmarks.population --out results/benchmarks

install: place $(VENV)/.installed ## Make .venv and install what is locked (about 6 GB, torch with CUDA)

# The programs of an environment name the folder that it was made in, so in a clone that was moved they are not
# found, and in one that was copied they are the other's.
place:
	@test -e $(VENV)/.installed || exit 0; \
	    made=$$(sed -n 's/^command = .* -m venv //p' $(VENV)/pyvenv.cfg); \
	    if ! $(BIN)/python -I -c '' 2>/dev/null; then \
	        echo "The Python that $(VENV) was made with is gone."; \
	    elif test -n "$$made" && ! test "$$made" -ef $(VENV); then \
	        echo "$(VENV) was made as $$made: this clone was moved or copied since, and $(VENV) is of no use here."; \
	    else exit 0; fi >&2; \
	    echo "Make it anew (results stay): make clean install" >&2; exit 1

$(VENV)/.installed: requirements.lock pyproject.toml | place
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
	    f"cgpipe needs Python 3.11 or newer, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -I tools/pip.py install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -I tools/pip.py install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

docs: install ## Write again what is generated: the config's schema, the table of its keys, those of the claims
	$(BIN)/python -m cgpipe describe schema > workflow/schemas/config.schema.json
	$(BIN)/python -m cgpipe describe reference --into config/README.md
	$(BIN)/python -m cgpipe describe criteria --into docs/science.md
	$(BIN)/python -m cgpipe excerpt claims docs/reproduction/README.md README.md

lock: ## Lock the newest versions that pyproject.toml allows (needs uv)
	uv pip compile pyproject.toml --extra dev --extra bench --universal --python-version 3.11 \
	    --generate-hashes --no-header --quiet --upgrade --output-file requirements.lock

clean: ## Remove .venv and caches; results stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info

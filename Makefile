# make demo: everything on embedded data, in minutes. make test: lint, types and tests.
# You need Python 3.11 or newer, make and git.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CORES  ?= all
DEMO   := results/demo

# A loaded environment module or another Python may set these. Python would then import other packages than those
# installed here.
unexport PYTHONPATH PYTHONHOME PYTHONUSERBASE

.PHONY: demo test test-slow test-slurm reliability bench mutants lint types unit install place docs reproduction lock clean help
.DEFAULT_GOAL := help

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

demo: install ## Run the whole pipeline on scikit-learn's digits: figures and a report
	$(BIN)/snakemake --cores $(CORES) --configfile config/demo.yaml
	@$(MAKE) --no-print-directory $(DEMO)/report.html
	@echo
	@echo "Figures: $(DEMO)/figures/figure1.png to figure4.png (also .pdf and .svg; numbers in .csv)"
	@echo "Report:  $(DEMO)/report.html"

$(DEMO)/report.html: $(wildcard $(DEMO)/figures/*) workflow/report/*
	$(BIN)/snakemake --cores 1 --configfile config/demo.yaml --report $@

test: lint types unit ## Run lint, types and tests

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror cgpipe/kernels/*.cpp cgpipe/kernels/*.h
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/lint-imports
	$(BIN)/python tests/workflow/lint.py

types: install
	$(BIN)/mypy

unit: install
	$(BIN)/python -m pytest -n 2 -m "not slow and not gpu and not slurm"
	@echo "Not run here: tests marked slow (make test-slow), gpu (pytest -m gpu), slurm (make test-slurm)"

test-slow: install ## Run the tests that take minutes
	$(BIN)/python -m pytest -n 2 -m slow

test-slurm: install ## Run the tests on Slurm: starts one of a single node (needs root, munge and slurm-wlm)
	$(BIN)/python tests/slurm/cluster.py start $$(mktemp -d)
	$(BIN)/python -m pytest -n 8 --dist load -m slurm tests/slurm; status=$$?; \
	    $(BIN)/python tests/slurm/cluster.py stop; exit $$status

reliability: ## Run test-slurm, disturb each training three times, write the table of docs/reliability.md
	RELIABILITY=docs/reliability.md TIMES=3 $(MAKE) test-slurm

mutants: install ## Change cgpipe/inference in thousands of ways, and list the changes that its tests do not notice (an hour)
	rm -rf mutants
	$(BIN)/python -m mutmut run --max-children 2
	$(BIN)/python -m mutmut results

bench: install ## Measure speed and memory against other implementations, on MNIST (see docs/performance.md)
	$(BIN)/python -m benchmarks --out results/benchmarks
	$(BIN)/python -m benchmarks.population --out results/benchmarks
	$(BIN)/python -m benchmarks.networks --out results/benchmarks
	$(BIN)/python -m benchmarks.lockstep --out results/benchmarks

install: place $(VENV)/.installed ## Create .venv and install the locked packages (about 6 GB, torch with CUDA)

# The programs of an environment contain the path at which it was created. In a clone that was moved they are not found;
# in a copy they would run the original's environment.
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

docs: install ## Regenerate the schema of the config, the table of its keys, the table of criteria and that of the power
	$(BIN)/python -m cgpipe describe schema > workflow/schemas/config.schema.json
	$(BIN)/python -m cgpipe describe reference --into config/README.md
	$(BIN)/python -m cgpipe describe criteria --into docs/science.md
	$(BIN)/python -m cgpipe describe mystery --into docs/science.md
	$(BIN)/python -m benchmarks.verdicts

reproduction: install ## Publish finished results in docs/reproduction, and regenerate its pages and the README's table of claims
	$(BIN)/python -m cgpipe.reproduction

lock: ## Lock the newest versions that pyproject.toml allows (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	    --generate-hashes --no-header --quiet --upgrade --output-file requirements.lock

clean: ## Remove .venv and caches; keep results
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache mutants *.egg-info

# Every target sets up what it needs: `make demo` on a fresh Debian or Ubuntu machine is enough. Nothing needs Docker.
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
# A file's tests share servers, so they stay in one process. ARGS="-n0 ..." runs all in this one, as a debugger wants it.
# One process more than there are processors, as many tests wait for what has to take its time.
PYTEST := PYTEST_XDIST_AUTO_NUM_WORKERS=$$(($$(nproc) + 1)) .venv/bin/pytest -n auto --maxprocesses 4 --dist loadfile

.PHONY: help setup demo serve test check lint types imports generated links format probes conformance bench languages reference clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## Install system packages and the Python environment; quick if that is done
	@scripts/setup.sh

demo: setup ## Build a layer, publish, attach and invoke it; then three custom runtimes
	@$(PYTHON) examples/demo.py

serve: setup ## Serve Lambda's API on 127.0.0.1:4566 (ARGS="--data ./state" adds flags)
	@.venv/bin/lamella serve $(ARGS)

test: setup ## Run all tests (ARGS="tests/unit -k layer" chooses)
	@if [ "$$(id -u)" != 0 ]; then \
		echo "Not root: the tests that make sandboxes will be skipped. To run them too: sudo make test" >&2; fi
	@$(PYTEST) $(ARGS)

check: setup ## Lint, types, imports, generated files, documentation
	@$(MAKE) --no-print-directory --keep-going lint types imports generated links

# The steps of `check`, which runs all of them even if one fails.
lint:
	.venv/bin/ruff check
	.venv/bin/ruff format --check

types:
	.venv/bin/mypy

imports:
	.venv/bin/lint-imports --no-logo

generated:
	$(PYTHON) -m lamella.awsapi.generate --check
	$(PYTHON) -m lamella.cli.reference --check
	$(PYTHON) scripts/reference_pages.py --check
	$(PYTHON) scripts/state_diagrams.py --check

links:
	$(PYTHON) scripts/check_links.py

format: setup ## Format the code and mend what the linter can mend
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

reference: setup ## Write the generated files again
	$(PYTHON) -m lamella.awsapi.generate
	$(PYTHON) -m lamella.cli.reference
	$(PYTHON) scripts/reference_pages.py
	$(PYTHON) scripts/state_diagrams.py

probes: ## Compile what layers and runtimes are tried with in Java: takes a JDK (class files are kept with the sources)
	cd src/lamella/layers/probes && javac -g:none --release 8 -Xlint:-options LamellaProbe.java && \
		sha256sum LamellaProbe.java | cut -d' ' -f1 > LamellaProbe.sha256
	cd src/lamella/conformance/handlers && javac -g:none --release 8 -Xlint:-options Verify.java && \
		sha256sum Verify.java | cut -d' ' -f1 > Verify.sha256

conformance: setup ## Run all tests, and write into the page about the execution environment how they ended
	$(PYTEST) --outcomes tests/outcomes.json $(ARGS)
	$(PYTHON) scripts/reference_pages.py

bench: ## Measure, and print the budgets and the peers beside it
	@scripts/setup.sh bench
	@$(PYTHON) -m bench $(ARGS)

languages: ## Build and measure a project in every language, and write the table of them into the README
	@scripts/setup.sh clients
	@$(PYTHON) -m bench.languages $(ARGS)

clean: ## Remove everything that was made here; the data of servers stays
	rm -rf .venv .tools .cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

PYTHON ?= python

.PHONY: check format-check lint types imports docs test bench format cli-help fault-pages check-pages kill-matrix

# All of CI but the two installs (.ci/run).
check: format-check lint types imports docs test

format-check:
	$(PYTHON) -m ruff format --check --quiet .

lint:
	$(PYTHON) -m ruff check --quiet .

types:
	$(PYTHON) -m mypy

# Without its cache, which remembers an import of a module that was not there yet.
imports:
	$(PYTHON) -c "from importlinter.cli import lint_imports_command as lint; lint()" --no-cache

docs:
	$(PYTHON) scripts/generate_cli_help.py --check
	$(PYTHON) scripts/generate_fault_pages.py --check
	$(PYTHON) scripts/generate_check_pages.py --check
	$(PYTHON) scripts/make_kill_matrix_picture.py --check

test:
	$(PYTHON) -m pytest

bench:
	$(PYTHON) benchmarks/start.py
	$(PYTHON) -m benchmarks.engine --quick

# These write.
format:
	$(PYTHON) -m ruff check --fix-only --quiet .
	$(PYTHON) -m ruff format --quiet .

cli-help:
	$(PYTHON) scripts/generate_cli_help.py

fault-pages:
	$(PYTHON) scripts/generate_fault_pages.py

check-pages:
	$(PYTHON) scripts/generate_check_pages.py
	$(PYTHON) scripts/make_kill_matrix_picture.py

kill-matrix:
	$(PYTHON) scripts/generate_check_pages.py --run
	$(PYTHON) scripts/make_kill_matrix_picture.py

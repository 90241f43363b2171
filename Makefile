# make run, make ui, make test, make bench. Needs Python 3.11 or 3.12 and make, nothing else.
PYTHON ?= python3
UV_VERSION = 0.13.9
VENV = .venv
PY = $(VENV)/bin/python

export PYTHONPATH := $(CURDIR)
export AIRFLOW_HOME := $(CURDIR)/.local/airflow

.PHONY: help run test bench ui stop clean lint lock check-python
.DEFAULT_GOAL := help

help:
	@echo "make run    one night, from the retention schedule to proven destruction (AS_OF=2027-03-01 moves the date)"
	@echo "           EXECUTOR=celery carries it out on two Celery workers (WORKERS=3: three)"
	@echo "make ui     the same night in Airflow's web interface     make stop   stop it"
	@echo "make test   the whole test suite                          make clean  forget local state"
	@echo "make bench  the benchmark beside its baselines (an hour; ONLY=plan_1m,empty_night chooses lines)"

check-python:
	@$(PYTHON) -c 'import platform, sys; v = sys.version_info[:2]; ok = v in ((3, 11), (3, 12)) and sys.platform in ("linux", "darwin"); ok or sys.exit("This needs Python 3.11 or 3.12 on Linux or macOS; %s is Python %d.%d on %s. Name another one: make run PYTHON=python3.12" % (sys.executable, *v, sys.platform))'

# The stamp makes installation happen once per requirements.txt.
$(VENV)/.installed: requirements.txt | check-python
	@echo "Installing $$(grep -c '==' requirements.txt) pinned packages into $(VENV) (once, a minute or two) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(VENV)/bin/uv pip install --quiet --python $(PY) --require-hashes --compile-bytecode -r requirements.txt
	@touch $@

run: check-python $(VENV)/.installed
	@$(PY) -m include.sandbox run

ui: check-python $(VENV)/.installed
	@$(PY) -m include.sandbox ui

stop:
	@if [ -x $(PY) ]; then $(PY) -m include.sandbox stop; else echo "Nothing was started here."; fi

clean: stop
	@rm -rf .local

test: check-python $(VENV)/.installed
	@$(PY) -m pytest -n auto --maxprocesses 4 --dist loadfile -m "not airflow"
	@$(PY) -m pytest -m airflow
	@$(PY) -m include.sandbox not-run

bench: check-python $(VENV)/.installed
	@$(PY) -m tests.bench --only "$(ONLY)"

lint: $(VENV)/.installed
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy && $(PY) -m include.policy lint

lock:
	@$(VENV)/bin/uv pip compile --universal --generate-hashes --python-version 3.11 requirements.in -o requirements.txt -q

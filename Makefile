# Every target sets up .venv by itself. A second call installs nothing, unless a file that names dependencies has changed.
#   make book    build the book into _build/html; run the chapters that have changed, or whose library or records have
#   make pdf     the whole book as one file, _build/faces-in-motion.pdf
#   make serve   show the built book at http://localhost:8000
#   make quick   run the tests that take seconds
#   make test    run the code style and all tests that a change may break: units, notebooks, the site in a browser
#   make thorough  run all tests there are: every record, every model at every size, every chapter two times
#   make bench   measure speed and memory beside other libraries: 15 minutes, on a machine that does nothing else
#   make clean   remove what was built, the outputs of the chapters, too (not .venv, not the cached data)
# WORKERS is how many processes share the tests, one core and up to 4 GB each: make test WORKERS=4
# PYTHON chooses the interpreter that makes .venv: make book PYTHON=python3.12

SHELL := /bin/bash
PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH := $(VENV)/bench
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 20 --durations-min 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# some containers set it: then each of a hundred processes compiles the library anew
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := book
.PHONY: book pdf serve test lint quick thorough bench clean
.DELETE_ON_ERROR:

$(STAMP): requirements.txt constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: there is no '$(PYTHON)'. Install Python 3.11 to 3.13, or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $$($(PYTHON) --version) is too old. Use Python 3.11 to 3.13: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "make: cannot create $(VENV). On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV): this takes a few minutes the first time."
	$(BIN)/python -m pip install $(if $(CI),--quiet) --requirement requirements.txt --constraint constraints.txt --editable .
	@touch $@

book: $(STAMP)
	@$(BIN)/jupyter-book build . -W -n --keep-going
	@echo "The book is at $(CURDIR)/_build/html/index.html"

pdf: book
	@$(BIN)/python book/printing.py _build/html _build/faces-in-motion.pdf

serve: book
	@$(BIN)/python -m http.server --bind localhost --directory _build/html 8000

test: $(STAMP) lint
	$(PYTEST) --junitxml _build/tests.xml

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

quick: $(STAMP)
	$(PYTEST) -m "not slow and not site"

thorough: $(STAMP) lint
	$(PYTEST) -m ""

# the libraries that are compared lie on top of .venv, not in it: torchmetrics imports transformers where it finds it,
# and everything would start seconds later
$(BENCH)/.installed: $(STAMP)
	@$(BIN)/python -m venv --without-pip $(BENCH)
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> "$$($(BENCH)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/venv.pth"
	$(BIN)/python -m pip --python $(BENCH)/bin/python install --constraint constraints.txt "dferlib[bench]"
	@touch $@

bench: $(BENCH)/.installed
	@$(BENCH)/bin/python -m benchmarks

clean:
	rm -rf _build build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

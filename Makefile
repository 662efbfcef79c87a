# Everything a person does with this repository. `make serve` and `make test` each set up what they need.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install serve test check bench docs clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	# Tests use moondream's HTTP client, which needs Pillow alone; its other dependency, 700 MB, runs their models here.
	$(BIN)/pip install --quiet --no-deps -c constraints.txt 'moondream>=2.6'
	touch $(STAMP)

serve: install  ## serve the default model on port 8000; ARGS="--port 9000" passes flags on
	$(BIN)/pheye serve $(ARGS)

test: install  ## run the whole test suite; ARGS="tests/model/test_tiles.py" runs a part
	$(BIN)/python -m pytest $(ARGS)

check: install  ## the one definition of clean
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pheye docs --check

bench: install  ## time the fast path, most of an hour; ARGS="--quick" is five minutes, "--report FOLDER" keeps it
	$(BIN)/pheye bench $(ARGS)

docs: install  ## write the generated parts of README.md and docs/
	$(BIN)/pheye docs

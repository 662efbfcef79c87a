# Everything a person does with this repository. `make serve` and `make test` each set up what they need.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
REPORT ?= gpu-report
MINUTES ?= 6
TEST_PROCESSES ?= 3

.PHONY: install clients serve test check bench chaos ray gpu gpu-wheels lock sbom compose-test docs clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile -c constraints.txt -e '.[dev]'
	# Tests use moondream's HTTP client, which needs Pillow alone; its other dependency, 700 MB, runs their models here.
	$(BIN)/pip install --quiet --no-compile --no-deps -c constraints.txt 'moondream>=2.6'
	$(BIN)/python -m compileall -qq -j 0 .venv/lib || true  # on all cores, where pip takes a minute of one
	touch $(STAMP)

clients: install  ## install other people's clients, whose tests are skipped without them: LangChain, LiteLLM, llm, OpenAI's for Node
	$(BIN)/pip install --quiet -c constraints.txt -e '.[clients]'
	! command -v npm >/dev/null || npm install --silent --no-audit --no-fund --ignore-scripts --prefix .venv openai@7 \
		|| echo 'npm could not install the openai package: its tests are skipped'

serve: install  ## serve the default model on port 8000; ARGS="--port 9000" passes flags on
	$(BIN)/pheye serve $(ARGS)

test: install  ## run the whole test suite; ARGS="tests/model/pixels/test_tiles.py" runs a part
	# Python keeps what it compiles, for the hundreds of processes that the tests start, even where it is told not to.
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

check: install  ## the one definition of clean
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pheye dev docs --check

bench: install  ## time the fast path, half an hour or more; ARGS="--quick" takes some minutes, "--report FOLDER" keeps it
	$(BIN)/pheye dev bench $(ARGS)

ray: install  ## try deploy/ray on a real Ray, which is installed, in a network of its own (Linux); ten minutes
	$(BIN)/pip install --quiet -c constraints.txt -e '.[ray]'
	unshare --map-root-user --net sh -c 'ip link set lo up; exec "$$@"' sh \
		$(BIN)/python -m pytest tests/deploy/ray -s --durations=0 $(ARGS)

gpu:  ## check and measure everything on a GPU with the Python that has torch for it; PYTHON=... REPORT=... MINUTES=...
	$(PYTHON) -m service.cli.entry dev gpu --report $(REPORT) --minutes $(MINUTES) $(ARGS)

gpu-wheels: install  ## gather in .whl/ what a CUDA image with torch and transformers lacks, for Python 3.12 on x86-64
	$(BIN)/python docker/gpu_wheels.py .whl

lock: install  ## write docker/requirements.lock anew: versions and hashes of the image's packages
	$(BIN)/python docker/lock.py

sbom: install  ## write sbom.cdx.json, the packages of this environment (CycloneDX); the image has its own
	$(BIN)/cyclonedx-py environment --output-reproducible --output-file sbom.cdx.json $(BIN)/python

compose-test: install  ## try docker-compose.yml on a running Docker engine, about 15 minutes; BUILD=no takes the image as it is
	PYTHON=$(BIN)/python docker/try.sh

docs: install  ## write the generated parts of README.md and docs/
	$(BIN)/pheye dev docs

chaos: install  ## hurt a real server in every way we know, two hours; ARGS="--only NAME", "--share 0.1" for a tenth
	$(BIN)/python -m tests.chaos --report docs/results/chaos.json $(ARGS)

# Everything runs in .venv, which the first target that needs it creates. Needs Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS := --disable-pip-version-check -c constraints.txt
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test slow-test clients-test milvus-test lint dist bench data-test clean

help:
	@echo "make demo       set up, verify real photo pairs, write a picture of what was seen"
	@echo "make test       set up, run all tests but the slow ones"
	@echo "make slow-test  the slow tests: the page in a browser, Ray, hundreds of photos (some minutes)"
	@echo "make clients-test  real clients against a running service: generated, schemathesis, of other services"
	@echo "make milvus-test  the whole contract of galleries on a real Milvus server (some minutes)"
	@echo "make data-test  the checks on real data (LFW, ORL) only"
	@echo "make lint       ruff, ruff format, mypy, import-linter"
	@echo "make dist       wheel and sdist, each tried in a fresh environment"
	@echo "make bench      the benchmarks behind the figures in the docs"

$(STAMP): pyproject.toml constraints.txt
	@echo "== creating $(VENV) and installing visavis with its extras (a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_FLAGS) --upgrade --progress-bar on pip
	@# MTCNN and face-recognition-models only carry files: without what their code would need.
	$(BIN)/python -m pip install $(PIP_FLAGS) -e '.[dev,export,heif,milvus,openvino,ray,train,ui,watch]' dlib-bin joblib lz4
	$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps 'mtcnn>=1.0.0,<2' 'face-recognition-models>=0.3.0,<0.4'
	@# Generates the client that a test calls the service with. It asks for an older Typer, and works with ours.
	$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps 'openapi-python-client>=0.29.1,<0.30' ruamel.yaml shellingham
	@# So does milvus: it carries the server that tests of galleries on Milvus start, and its code would
	@# need an old pymilvus. There is none for some systems; those tests are skipped there.
	$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps 'milvus>=2.3.5,<2.4' || true
	@touch $(STAMP)

# The examples in JavaScript; without npm their tests are skipped. The lock file says which versions.
NPM_STAMP := examples/node_modules/.package-lock.json
$(NPM_STAMP): examples/package.json examples/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "== installing the packages of the examples"; cd examples && $(if $(shell command -v timeout),timeout 300) npm ci; \
	fi || echo "npm could not install them: the tests of the examples in JavaScript will be skipped"

demo: $(STAMP)
	$(BIN)/visavis demo --out demo-out

MILVUS_TESTS = $(addprefix tests/gallery/test_,milvus.py contract_milvus.py transfer.py)

# Where /dev/shm has 4 GB free, the tests' files lie in memory: flushing them all to a disk takes long.
MEMORY := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 4000000 {print "/dev/shm"}')

# A process a core: further threads of BLAS and PyTorch would only wait for each other. Commands that
# tests start are not compiled again each time.
test slow-test: export OMP_NUM_THREADS = 1
test slow-test: export TMPDIR := $(or $(MEMORY),$(TMPDIR),/tmp)
test slow-test: export PYTHONDONTWRITEBYTECODE =
test: $(STAMP) $(NPM_STAMP)
	@# Tests with Milvus Lite and with clients of it wait half of the time: beside the others, in
	@# processes of their own, as they have threads. 5: TESTS has none.
	@said=$$(mktemp); \
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "milvus and not slow" \
	  $(or $(TESTS),$(MILVUS_TESTS)) >"$$said" 2>&1 & beside=$$!; \
	trap 'kill $$beside; exit 130' INT TERM; \
	$(BIN)/python -m pytest -n auto --dist worksteal \
	  -m "not milvus and not clients and not slow" $(TESTS); code=$$?; \
	wait $$beside; milvus=$$?; cat "$$said"; rm "$$said"; \
	if [ $$code -eq 0 ] && [ $$milvus -ne 5 ] || [ $$code -eq 5 ]; then code=$$milvus; fi; \
	exit $$code

slow-test: $(STAMP) $(NPM_STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal -m "slow and not milvus and not clients" $(or $(TESTS),tests)

# Real clients of other services, each in an environment of its own, .venv-clients/NAME.
clients-test: $(STAMP)
	$(BIN)/python -m pytest -m clients tests/service

milvus-test: $(STAMP)
	$(BIN)/python -m pytest -m milvus tests/gallery/test_milvus_server.py

data-test: $(STAMP)
	$(BIN)/python -m pytest -m "lfw or orl" $(TESTS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

dist: $(STAMP)
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python .ci/try_install.py dist

bench: $(STAMP)
	$(BIN)/python -m benchmarks.run

clean:
	rm -rf $(VENV) demo-out build dist

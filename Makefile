# Every target sets up what it needs by itself. `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.13 python3.14 python3.12 python3; do "$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && command -v "$$p" && break; done)
BIN := .venv/bin
LOCAL := .venv/.local
SETUP := .venv/.ready
WORKERS = $(shell $(BIN)/python -c 'import os; print(min(6, (os.cpu_count() or 1) + 2))')  # of tests, many of which wait for a stack
LOCKS := requirements/setup layers/dependencies/requirements requirements/local requirements/dev requirements/sam requirements/checkov requirements/ministack requirements/runtime requirements/audit requirements/mutation

# Where it is set, as in many images of Python, each of the hundreds of processes that the tests start compiles our modules again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-product soak bench fuzz docs transcripts mutate check audit watch lock validate build wheel invoke rehearse deploy repair pack unpack ship release

help:  ## list the targets
	@awk -F '  ## ' '/^[a-z-]+:/ && NF == 2 { sub(/:.*/, "", $$1); sub(/ \(/, "\n           (", $$2); printf "%-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Wheels only, so that no package's code runs while it is installed. The editable install builds our own source.
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python --only-binary :all: --require-hashes -r
COUNT = $$(grep -c '^[a-z].*==' $(1)) packages

setup: $(LOCAL)  ## build .venv with the command and the local stack, pinned by hash; tests and checks add theirs
	@echo 'Ready. For the command: export PATH="$$PWD/.venv/bin:$$PATH"'

# Python's own pip installs uv, if there is one: ensurepip takes three seconds.
$(BIN)/uv: requirements/setup.txt
	@test -n "$(PYTHON)" || { echo 'Python 3.12 or newer with the venv module is needed; on Debian: apt-get install python3-venv' >&2; exit 1; }
	@echo 'Set-up, once: creating .venv and installing uv, which installs the rest'
	@test -x $(BIN)/python || "$(PYTHON)" -m venv --without-pip .venv
	@install='install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements/setup.txt'; \
		"$(PYTHON)" -m pip --python $(BIN)/python $$install 2>/dev/null || { $(BIN)/python -m ensurepip >/dev/null && $(BIN)/python -m pip $$install; }
	@touch $@

$(LOCAL): $(BIN)/uv requirements/local.txt pyproject.toml
	@echo "Set-up, once: installing the $(call COUNT,requirements/local.txt) of the local stack and the command (requirements/local.txt)"
	@$(INSTALL) requirements/local.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(SETUP): $(LOCAL) requirements/dev.txt
	@echo "Set-up, once: installing the $(call COUNT,requirements/dev.txt) of tests and checks (requirements/dev.txt)"
	@$(INSTALL) requirements/dev.txt
	@touch $@

demo: $(LOCAL)  ## the main job on this machine: 5,900 events become an audience (KEEP=1 leaves it running, ARGS="--port 9000 --amazon-port 9001", ARGS="--api data-manager")
	@$(BIN)/python -m local.demo $(if $(KEEP),--keep) $(ARGS)

test: $(SETUP)  ## all tests, in random order (ARGS="-k name", ARGS=--randomly-seed=N repeats an order, ARGS="--cov --cov-branch")
	$(BIN)/python -m pytest $(or $(ARGS),-n $(WORKERS) --dist worksteal)

test-product: $(SETUP)  ## the tests of the product alone, without the workshop's: of the repository, the stand-ins and the tools
	$(BIN)/python -m pytest tests $(or $(ARGS),-n $(WORKERS) --dist worksteal)

soak: $(SETUP)  ## days of traffic on one simulated clock, with faults at any call (SEED=1 SEEDS=1 EVENTS=2000 PROFILE=name; all profiles by default)
	$(BIN)/python -m tests.soak --seed $(or $(SEED),1) --seeds $(or $(SEEDS),1) --events $(or $(EVENTS),2000) $(if $(PROFILE),--profile $(PROFILE)) $(ARGS)

bench: $(SETUP)  ## what ingest costs for each event, beside Segment's own code, as JSON (ARGS="--rounds 9 --record")
	$(BIN)/python -m workshop.benchmarks.bench_ingest $(ARGS)

fuzz: $(SETUP)  ## search for inputs that break a promise (TARGET=events SECONDS=60; docs/development/fuzzing.md lists the targets)
	$(BIN)/python -m tests.fuzz --target $(or $(TARGET),events) --seconds $(or $(SECONDS),60) $(ARGS)

docs: $(SETUP)  ## write the generated parts of the documents: charts, transcripts
	$(BIN)/python -m workshop.documents
	UPDATE_DOCS=1 $(BIN)/python -m pytest -q -m transcript tests/e2e

transcripts: $(SETUP)  ## run the commands that documents show, and the remedies that they name
	$(BIN)/python -m pytest -q -m transcript -n 4 --dist loadgroup --no-loadscope-reorder tests/e2e

mutate: $(SETUP)  ## changes of a module that no test notices (MODULE=members/member_step.py TESTS="tests/unit/members")
	scripts/mutate.sh $(MODULE) $(TESTS)

check: $(SETUP)  ## lint, format, types, import rules, whether these see every file, known vulnerabilities
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache && $(BIN)/python -m workshop.seen && scripts/audit.sh

audit: $(SETUP)  ## known vulnerabilities of what ships (ARGS=requirements/dev.txt for another lock)
	scripts/audit.sh $(ARGS)

watch: $(LOCAL)  ## what Amazon has changed in its API files, and whether it is sent or read here (ARGS=--adopt)
	$(BIN)/python -m scripts.watch $(ARGS)

validate: $(SETUP)  ## sam validate --lint, cfn-lint and checkov on the template
	scripts/validate.sh

define BUILD
	scripts/build.sh
	$(BIN)/python -m scripts.sbom "$$(scripts/tool.sh audit)"
endef

build: $(SETUP)  ## sam build, without Docker, and an SBOM of what ships
	$(BUILD)

wheel: $(SETUP)  ## the command audience-sync as a wheel in dist/
	$(BIN)/python -m hatchling build --target wheel --directory dist

# The build for this machine that `invoke` and `rehearse` share where both run (BUILT names it); else each builds its own.
.aws-sam/local-build: build
	BUILT=.aws-sam/build scripts/local-build.sh $@

invoke: $(SETUP) $(BUILT)  ## sam local invoke of the functions on events/ (needs Docker and root)
	scripts/sam-local.sh

rehearse: $(SETUP) $(BUILT)  ## deploy the last release, update it and delete it, on this machine
	scripts/rehearse.sh

deploy: $(SETUP)  ## build and sam deploy (ARGS=--guided asks for each parameter; ALLOW_DATA_LOSS="NAME NAME": tables and queues that it may delete)
	@$(BIN)/python -m scripts.deploy_target $(ARGS)
	$(MAKE) build
	scripts/deploy.sh $(ARGS)

repair: $(SETUP)  ## set back what was changed in the stack by hand; shows it, and asks (ARGS="--stack-name NAME")
	@$(BIN)/python -m scripts.repair $(ARGS)

# None of these four installs the packages for development: what ships is made, and AWS credentials are held, without them.
pack: $(BIN)/uv  ## build, into one file with its SHA-256, for another job to deploy
	$(BUILD)
	scripts/pack.sh

unpack: $(BIN)/uv  ## unpack what another job packed (DIGEST=its SHA-256), and install SAM
	scripts/unpack.sh
	@scripts/tool.sh sam >/dev/null

ship: $(BIN)/uv  ## deploy what was unpacked (ARGS="--config-env staging")
	@"$$(scripts/tool.sh sam)/bin/python" -m scripts.deploy_target $(ARGS)
	scripts/deploy.sh $(ARGS)

release: $(BIN)/uv  ## publish template, code, checksums and SBOM in a bucket, for anyone to launch (BUCKET=name PREFIX=audience-sync, DIGEST as for unpack)
	@test -n "$(BUCKET)" || { echo 'Name a bucket: make release BUCKET=name' >&2; exit 2; }
	$(MAKE) $(if $(DIGEST),unpack,pack)
	scripts/name_commit.sh
	"$$(scripts/tool.sh sam)/bin/python" -m scripts.publish "$(BUCKET)" --prefix "$(or $(PREFIX),audience-sync)"

lock: $(SETUP)  ## resolve all requirements and pin them by hash (UPGRADE=1 takes newer versions)
	for f in $(LOCKS); do $(BIN)/uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-header $(if $(UPGRADE),--upgrade) $$f.in -o $$f.txt || exit 1; done

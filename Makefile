# Everything starts here: `make help`. Needs Python 3.11 or newer and a package index; the rest comes from the hash-pinned lock.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# Passed on: make demo ARGS="--users 50000 --json", make test ARGS="-k gate"
ARGS ?=
# Test processes; each has a PostgreSQL and a Valkey of its own.
WORKERS ?= 2
# For `make faults`: how long, and which schedule; without a seed another one each time.
MINUTES ?= 20
SEED ?=
# Tried in this order; the first that is new enough is taken.
PYTHONS ?= python3.11 python3.12 python3.13 python3.14 python3

BIN := .venv/bin
SAYS := >&2 printf '\n%s\n  What to do: %s\n\n'
README_TESTS = tests/integration/test_readme.py

.PHONY: help
help: ## list these targets
	@sed -n 's/^\([a-z.-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r target what; do printf '%-16s %s\n' "$$target" "$$what"; done

.PHONY: demo
demo: .venv ## the whole story on embedded servers, checked: ARGS="--users 50000 --json"
	@$(BIN)/portcullis demo $(ARGS)

.PHONY: up
up: .venv ## keep the same system running until Ctrl-C, with things to try
	@$(BIN)/python -m workers.demo.up $(ARGS)

.PHONY: test
test: .venv ## all tests, on embedded servers or on DATABASE_URL and REDIS_URL
	@$(BIN)/pytest -n $(WORKERS) --dist loadscope -q $(ARGS)

.PHONY: test-roles
test-roles: .venv ## the same tests, each process with the rights of its own PostgreSQL role and no others
	@PORTCULLIS_TEST_ROLES=1 $(BIN)/pytest -n $(WORKERS) --dist loadscope -q $(ARGS)

.PHONY: browser-test
browser-test: .venv ## the whole story in Chromium, pictures under var/browser; as root installs what is missing
	@$(BIN)/python -m tests.browser.tools
	@$(BIN)/pytest -q tests/browser $(ARGS)

.PHONY: bench
bench: .venv ## how fast it is, beside other designs, on servers of its own: ARGS="--members 1000000"
	@$(BIN)/python -m tests.benchmarks $(ARGS)

.PHONY: faults
faults: .venv ## break everything at once and check the invariants: MINUTES=20 SEED=7
	@$(BIN)/python -m tests.faults --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: letters-check
letters-check: .venv ## every letter before SpamAssassin, axe, html-validate, caniemail, mailparser; as root installs what is missing
	@$(BIN)/python -m tests.letters_check $(ARGS)

.PHONY: interop
interop: .venv ## our mailer against Postfix, OpenSMTPD, aiosmtpd, smtp-sink, a bounce and all; as root installs what is missing
	@$(BIN)/python -m tests.interop.tools
	@PORTCULLIS_INTEROP=1 $(BIN)/pytest -q tests/interop $(ARGS)

.PHONY: alerts-check
alerts-check: .venv ## alerts before promtool: each fires when it should and not before; as root installs what is missing
	@$(BIN)/python -m tests.promtool
	@$(BIN)/pytest -q tests/pipeline/test_alerts.py tests/unit/test_metrics_files.py $(ARGS)

.PHONY: check
check: .venv ## format, lint, types, imports, and what the README says
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(if $(README_TESTS),$(BIN)/pytest -q $(README_TESTS))

.PHONY: format
format: .venv ## let ruff format, and fix what it can
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

.PHONY: lock
lock: .venv ## write requirements.lock again from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --all-extras --no-annotate --custom-compile-command "make lock" pyproject.toml -o requirements.lock

.PHONY: audit
audit: .venv ## look every pinned package up in the list of known vulnerabilities
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes -r requirements.lock || \
		{ $(SAYS) 'The audit failed, or the list of vulnerabilities could not be reached.' 'read the lines above; raise what is vulnerable in pyproject.toml, then make lock.'; exit 1; }

.PHONY: .venv
.venv: .venv/.installed

# Made again when the lock or the package's own description changes.
.venv/.installed: requirements.lock pyproject.toml
	@python=; for name in $(PYTHONS); do \
		if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		$(SAYS) 'No Python 3.11 or newer was found (looked for: $(PYTHONS)).' \
			'install one (Debian, Ubuntu: apt install python3 python3-venv), or name yours: make PYTHONS=/path/to/python3'; exit 1; \
	fi; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		echo "Making .venv with $$python ..."; \
		"$$python" -m venv --clear .venv || { rm -rf .venv; \
			$(SAYS) "$$python can't make a virtual environment." \
				'install its venv module (Debian, Ubuntu: apt install python3-venv).'; exit 1; }; \
	fi
	@echo "Installing from requirements.lock ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock || \
		{ $(SAYS) 'The packages of requirements.lock could not be installed.' \
			'read the lines above. Without a network, or behind a proxy, point pip at a package index that you can reach (see pip config).'; exit 1; }
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable . || \
		{ $(SAYS) 'Portcullis itself could not be installed into .venv.' 'read the lines above; rm -rf .venv and try again.'; exit 1; }
	@touch $@

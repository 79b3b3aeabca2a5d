# Every target installs what it needs first and says how long that took; a second run reuses all of it.
#   make demo            the story of one VIP on a real three-node Kubernetes   (KEEP=1 leaves the cluster running)
#   make demo CLOUD=azure  the same in an emulated cloud: azure, huawei or tencent
#   make test            everything that is checked: lint, unit, API server, chart, lab, cluster
#   make soak N=5        all scenarios N times
#   make bench           measures; writes docs/benchmarks.md and docs/benchmarks.json
export HAVIP_CACHE ?= $(CURDIR)/.cache
export MYPY_CACHE_DIR ?= $(HAVIP_CACHE)/mypy
PYTHON := .venv/bin/python
SETUP := @sh e2e/setup/start.sh
N ?= 5
# Tests mostly wait: two cores carry three workers (tests/side_by_side.py says what stays together).
WORKERS ?= 3

.PHONY: demo test unit lint bench soak crds lock binaries images clean

# Said before anything is installed.
ifneq (,$(and $(filter demo,$(MAKECMDGOALS)),$(filter-out azure huawei tencent,$(CLOUD))))
  $(error CLOUD must be azure, huawei or tencent, or absent; got "$(CLOUD)")
endif

demo:
	$(SETUP) everything
	@CLOUD="$(CLOUD)" KEEP="$(KEEP)" $(PYTHON) -m e2e.demo

test:
	$(SETUP) everything
	@$(MAKE) --no-print-directory check-style
	@$(PYTHON) -m pytest -n $(WORKERS) tests e2e/scenarios || { \
	  [ $$? -eq 1 ] && echo "What failed is run once more: a fault of the product fails again, a busy machine seldom does."; \
	  $(PYTHON) -m pytest tests e2e/scenarios --last-failed --last-failed-no-failures none; }

# What needs neither root nor network nor anything built.
unit:
	@$(PYTHON) -m pytest tests -m "not binaries and not apiserver and not helm and not lab and not cluster"

lint:
	$(SETUP) environment
	@$(MAKE) --no-print-directory check-style

.PHONY: check-style
check-style:
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check --quiet .
	@$(PYTHON) -m mypy
	@$(PYTHON) -m mypy -p e2e
	@.venv/bin/lint-imports

bench:
	$(SETUP) everything
	@$(PYTHON) -m e2e.bench

soak:
	$(SETUP) everything
	@for run in $$(seq $(N)); do echo "soak $$run of $(N)"; $(PYTHON) -m pytest -n $(WORKERS) e2e/scenarios || exit 1; done

crds:
	$(SETUP) environment
	@$(PYTHON) -m havip.api write

lock:
	@$(PYTHON) e2e/setup/lock.py

binaries images:
	$(SETUP) $@

# The cache may be shared by several checkouts: what is not below this one is left alone.
clean:
	@$(PYTHON) -m e2e.cluster down 2>/dev/null || true
	rm -rf .venv .cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

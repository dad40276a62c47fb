# The goals of every day; what they do is in scripts/ and CMakePresets.json.
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help
.PHONY: help dev build test test-unit test-integration release test-release soak bench bench-growth check check-quick fmt setup clean

# One build at a time per folder: a second `make build` waits for the first instead of writing into the same files.
build_in = mkdir -p $(1) && flock $(1)/.lock cmake -E env NINJA_STATUS='[%f/%t %es] ' cmake --build $(1) $(2)

help: ## show this list
	@echo "Nexus Functions. Goals:"
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Without the tests and benchmarks that `make build` also builds: whoever comes for the first time waits half as long.
dev: setup build/build.ninja ## set up, build, and run a node on examples/hello-rust (ARGS: flags of nexus dev)
	@$(call build_in,build,--target nexus)
	@exec build/nexus dev -f examples/hello-rust/nexus.yaml $(ARGS)

setup: ## install what the build needs (test, check, bench, release: scripts/setup PROFILE)
	@scripts/setup dev

build: setup build/build.ninja ## the command: build/nexus
	@$(call build_in,build)

build/build.ninja: CMakePresets.json
	@mkdir -p build && flock build/.lock cmake --preset dev

test: ## all tests; the last line is "N passed, N failed"
	@scripts/setup dev test
	@$(MAKE) build
	@scripts/run-tests

test-unit: build ## unit tests only (ctest)
	@scripts/run-tests --unit

test-integration: ## integration tests only (pytest)
	@scripts/setup dev test
	@$(MAKE) build
	@scripts/run-tests --integration

release: ## dist/nexus-VERSION-linux-ARCH.tar.gz with one static, stripped binary
	@scripts/setup dev release
	@scripts/release

test-release: ## the release, the suite against its binary, and a run in a minimal Debian root
	@scripts/setup dev test release
	@$(MAKE) build
	@scripts/test-release

# make test runs the same tests with fewer rounds.
soak: ## fault tests and the proof at full length (50 kills, 50 restarts, 5 minutes of kills in a cluster, ...), then SOAK_MINUTES (30) of load with memory that must stay flat
	@scripts/setup dev test bench
	@$(MAKE) build
	@NX_KILLS=50 NX_RESTARTS=50 NX_CLUSTER_S=300 NX_STORED=1000000 NX_PROOF=10000 scripts/run-tests --integration tests/fault tests/integration/test_proof.py
	@.deps/venv/bin/python bench/soak.py build --minutes $${SOAK_MINUTES:-30} --svg build/soak.svg

bench: ## the table of measured figures beside their limits
	@scripts/setup dev test bench release
	@scripts/bench

bench-growth: ## the cost of an event at up to 10 million stored events and 10,000 functions (10 minutes, 10 GB of disk)
	@scripts/setup dev test bench release
	@scripts/bench --growth

check: ## clang, clang-tidy, layers, format, ASan+UBSan suite, TSan suite, every fuzzer for FUZZ_SECONDS (60)
	@scripts/setup dev test check
	@$(MAKE) build
	@scripts/check

check-quick: ## layers, format, syntax of scripts, links in the documentation, every C file read by clang
	@scripts/setup dev check
	@scripts/check --quick

fmt: ## format all C sources
	@scripts/setup dev check
	@scripts/check-format --fix

clean: ## remove build folders and dist (keeps what set-up fetched)
	@rm -rf build build-* dist

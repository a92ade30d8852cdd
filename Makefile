# What people and CI call. `make` alone lists it. Rust, git and make are enough
# to start with: tests/setup.sh installs the Debian packages.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

target := $(abspath $(or $(CARGO_TARGET_DIR),target))
# Mounting takes root; everything else is done as whoever calls.
comma := ,
sudo := $(if $(filter 0,$(shell id -u)),,sudo)
runner := $(patsubst %,"%"$(comma),$(sudo) env PATH=$(PATH) BLOCKD=$(target)/debug/blockd AGENT=$(target)/debug/agent REPOS=$(abspath $(REPOS)))
# How long each fuzz target runs.
SECONDS_EACH ?= 3600
# What is asked of a git that is too old is listed there.
skipped := $(target)/skipped
unit := env TESTS_SKIPPED=$(skipped) RUST_TEST_THREADS=6 cargo test --locked --no-fail-fast --workspace --exclude e2e
attach := cargo test --locked --package blockd --test attach --config 'target."cfg(all())".runner = [$(runner)]' --
e2e := cargo test --locked --workspace --test e2e --config 'target."cfg(all())".runner = [$(runner)]' --
fly := cargo test --locked --workspace --test fly --config 'target."cfg(all())".runner = [$(runner)]' --

.PHONY: help
help: ## list what there is
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: web
web: ## the pages of the agent, at agent/web/dist, where cargo build finds them
	tests/setup.sh web
	agent/web/build.sh

.PHONY: build
build: ## the programs, at target/release/blockd and target/release/agent
	@if command -v npm >/dev/null; then agent/web/build.sh; \
	elif [ ! -d agent/web/dist ]; then echo "make build: without npm, the agent's pages show plain text; make web installs it and makes the others"; fi
	cargo build --locked --release --package blockd --package agent

PREFIX ?= /usr/local
.PHONY: install
install: build ## both programs, manual pages and completions, below PREFIX (default /usr/local; DESTDIR is honoured)
	rm -rf $(target)/share
	cargo run --locked --release --quiet --package manuals -- $(target)/share
	install -D -t "$(DESTDIR)$(PREFIX)/bin" $(target)/release/blockd $(target)/release/agent
	cd $(target)/share && find . -type f -exec install -D -m 644 {} "$(DESTDIR)$(PREFIX)/share/{}" \;

.PHONY: audit
audit: ## licences, advisories and origins of the dependencies (deny.toml)
	@command -v cargo-deny >/dev/null || { echo "make audit: cargo-deny is missing: cargo install --locked cargo-deny"; exit 1; }
	cargo deny --locked --workspace check $(CHECKS)

.PHONY: demo
demo: ## serve a repository (REPO, default this one), attach it, work in it, beside git
	tests/setup.sh demo
	cargo build --locked --release --package blockd
	tests/demo.sh $(target)/release/blockd $(or $(REPO),.)

.PHONY: test
test: web lint unit e2e started ## everything that must hold: format, lints, docs, unit, doc and end-to-end tests, the images started

.PHONY: fresh
fresh: ## demo and test in a tree of Debian 12 with Rust, git and make alone (TARGETS="unit …" for others)
	tests/setup.sh fresh
	$(sudo) env PATH="$(PATH)" HOME="$(HOME)" tests/fresh.sh $(TARGETS)

.PHONY: lint
lint: ## format, clippy, docs and the architecture, without a warning
	@cargo fmt --version >/dev/null 2>&1 || { echo "make lint: rustfmt is missing: rustup component add rustfmt"; exit 1; }
	@cargo clippy --version >/dev/null 2>&1 || { echo "make lint: clippy is missing: rustup component add clippy"; exit 1; }
	tests/setup.sh build
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
	cargo test --locked --package e2e --test style

.PHONY: unit
unit: ## unit tests and doc tests, and the agent with a scripted codex
	tests/setup.sh unit
	@# Other people's programs are judges: they belong to e2e. Most of the time
	@# tests wait for a deadline.
	@rm -f $(skipped)
	$(unit) -- --skip interop::
	tests/gits.sh $(unit) --lib --test image
	@[ ! -e $(skipped) ] || { sort $(skipped) && echo "make unit: $$(wc -l <$(skipped)) skipped"; }

.PHONY: e2e
e2e: ## the whole product against git, e2fsck, a guest's kernel, NBD and MCP clients, codex, a browser (TEST=name for some)
	tests/setup.sh test
	agent/web/build.sh
	@# Built as the tests are, so that the dependencies are built once.
	cargo build --locked --workspace --bins --tests
	$(e2e) $(TEST)
	cargo test --locked --workspace --test serve -- $(or $(TEST),interop::)
	$(fly) $(or $(TEST),interop::)

.PHONY: images
images: ## the images of fly/Dockerfile, built and started, without a registry
	tests/setup.sh images
	$(sudo) env PATH="$(PATH)" HOME="$(HOME)" tests/images/build.sh full

.PHONY: started
started: ## the same with the programs that the tests have built
	tests/setup.sh images
	cargo build --locked --workspace --bins --tests
	$(sudo) env PATH="$(PATH)" HOME="$(HOME)" tests/images/build.sh given $(target)/debug/blockd $(target)/debug/agent

.PHONY: soak
soak: ## the long tests, on all repositories in the folder REPOS
	@test -n "$(REPOS)" || { echo "make soak: REPOS=FOLDER, a folder of repositories"; exit 1; }
	tests/setup.sh test
	@# The newest codex is tested beside the pinned one.
	agent/tests/setup.sh .cache/agent newest
	agent/web/build.sh
	cargo build --locked --workspace --bins --tests
	cargo test --locked --package blockd --test relay -- --ignored
	$(attach) --ignored --nocapture --test-threads 1
	$(e2e) --ignored --nocapture --test-threads 1
	cargo test --locked --workspace --test serve -- --ignored
	tests/fuzz.sh $(SECONDS_EACH)

.PHONY: fuzz
fuzz: ## every fuzz target for an hour (SECONDS_EACH=N), or some (TARGETS="tree client")
	tests/fuzz.sh $(SECONDS_EACH) $(TARGETS)

.PHONY: bench
bench: ## how fast, as ratios to git and nbdkit (REPO=FOLDER, default a generated one), and what the agent costs
	tests/setup.sh bench
	@# Built as the benches are, so that the dependencies are built once.
	cargo build --locked --release --workspace --bins --benches
	cargo bench --locked --workspace --benches
	/usr/bin/python3 tests/bench.py $(target)/release/blockd $(REPO)
	$(sudo) /usr/bin/python3 tests/link/bench.py $(target)/release/blockd $(REPO)
	$(sudo) /usr/bin/python3 tests/attach_many.py $(target)/release/blockd $(or $(firstword $(REPO)),.)

#!/usr/bin/env bash
# cargo, which builds what is newer than what was built of it.
set -euo pipefail
export CARGO_TERM_COLOR=never CARGO_TARGET_DIR=target
unset CARGO_BUILD_TARGET_DIR

build() {
    cargo build --offline 2>&1 | sed 's/ in [0-9.]*s$//'
    target/debug/tool
}

build
build
printf 'pub const WORD: &str = "other";\n' >src/part.rs
build
build
git checkout -q -- src/part.rs
build
cargo package --offline --allow-dirty --list 2>/dev/null
git status --porcelain

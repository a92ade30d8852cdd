#!/bin/bash
# Runs fuzz targets with a stable compiler: tests/fuzz.sh SECONDS [TARGET...]. What
# they find is in target/fuzz/TARGET, where the next run goes on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=$1
shift
wanted=("$@")
triple=x86_64-unknown-linux-gnu
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address --cfg fuzzing"
for crate in imagegen/fuzz blockd/nbd/fuzz; do
    (cd "$crate" && cargo build --release --target "$triple")
    for source in "$crate"/fuzz_targets/*.rs; do
        name=$(basename "$source" .rs)
        if [ ${#wanted[@]} != 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then continue; fi
        found=target/fuzz/$name
        mkdir -p "$found"
        echo "$name: $seconds s"
        "$crate/target/$triple/release/$name" -max_total_time="$seconds" -print_final_stats=1 \
            -artifact_prefix="$found.failed-" "$found" "$crate/corpus/$name" >"$found.log" 2>&1 ||
            { tail -n 40 "$found.log"; echo "$name has failed: $found.log"; exit 1; }
        grep -E "number_of_executed_units|peak_rss_mb" "$found.log"
    done
done

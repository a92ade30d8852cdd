//! What the files of a repository say about where others are.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| imagegen_fuzz::access(data));

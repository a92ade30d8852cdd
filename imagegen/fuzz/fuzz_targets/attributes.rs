//! A path on the first line, followed by a `.gitattributes`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| imagegen_fuzz::attributes(data));

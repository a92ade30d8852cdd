//! The number of objects, the offset of each, and their entries in a pack.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| imagegen_fuzz::pack_entry(data));

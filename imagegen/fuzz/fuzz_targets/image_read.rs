//! Eight bytes per read: an offset of five, a length of two, and flags.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| imagegen_fuzz::image_read(data));

//! Eight bytes a read: an offset of five, a length of two, and what to ask.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| imagegen_fuzz::image_read(data));

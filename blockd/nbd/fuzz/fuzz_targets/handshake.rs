//! All bytes that a client sends.
#![no_main]

use blockd_nbd::fuzz::fuzz_handshake;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz_handshake(data));

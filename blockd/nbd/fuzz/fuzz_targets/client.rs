//! A server's replies; the first byte chooses the kind of reply, and whether the
//! handshake is a good one.
#![no_main]

use blockd_nbd::fuzz::fuzz_client;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz_client(data));

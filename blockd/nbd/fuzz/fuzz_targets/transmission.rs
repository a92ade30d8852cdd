//! A client's requests; the first byte chooses the kind of reply.
#![no_main]

use blockd_nbd::fuzz::fuzz_transmission;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fuzz_transmission(data));

#![no_main]
//! The adapter of the protocol "ga4".

libfuzzer_sys::fuzz_target!(|input: &[u8]| tasuki_fuzz::adapter("ga4", input));

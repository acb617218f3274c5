#![no_main]
//! The adapter of the protocol "matomo".

libfuzzer_sys::fuzz_target!(|input: &[u8]| tasuki_fuzz::adapter("matomo", input));

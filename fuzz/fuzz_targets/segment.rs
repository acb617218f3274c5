#![no_main]
//! The adapter of the protocol "segment".

libfuzzer_sys::fuzz_target!(|input: &[u8]| tasuki_fuzz::adapter("segment", input));

#![no_main]
//! Decompression, and all else that a body meets before its adapter.

libfuzzer_sys::fuzz_target!(|input: &[u8]| tasuki_fuzz::body(input));

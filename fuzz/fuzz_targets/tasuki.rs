#![no_main]
//! The adapter of the protocol "tasuki".

libfuzzer_sys::fuzz_target!(|input: &[u8]| tasuki_fuzz::adapter("tasuki", input));

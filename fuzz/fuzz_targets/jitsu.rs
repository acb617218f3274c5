#![no_main]
//! The adapter of the protocol "jitsu".

libfuzzer_sys::fuzz_target!(|input: &[u8]| tasuki_fuzz::adapter("jitsu", input));

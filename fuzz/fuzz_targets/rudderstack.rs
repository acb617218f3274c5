#![no_main]
//! The adapter of the protocol "rudderstack".

libfuzzer_sys::fuzz_target!(|input: &[u8]| tasuki_fuzz::adapter("rudderstack", input));

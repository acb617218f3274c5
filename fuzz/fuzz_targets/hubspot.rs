#![no_main]
//! The adapter of the protocol "hubspot".

libfuzzer_sys::fuzz_target!(|input: &[u8]| tasuki_fuzz::adapter("hubspot", input));

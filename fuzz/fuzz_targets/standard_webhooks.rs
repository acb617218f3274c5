#![no_main]
//! The adapter of the protocol "standard-webhooks".

libfuzzer_sys::fuzz_target!(|input: &[u8]| tasuki_fuzz::adapter("standard-webhooks", input));

#![no_main]
//! The adapter of the protocol "cloudevents".

libfuzzer_sys::fuzz_target!(|input: &[u8]| tasuki_fuzz::adapter("cloudevents", input));

#![no_main]
//! The adapter of the protocol "snowplow".

libfuzzer_sys::fuzz_target!(|input: &[u8]| tasuki_fuzz::adapter("snowplow", input));

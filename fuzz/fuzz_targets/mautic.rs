#![no_main]
//! The adapter of the protocol "mautic".

libfuzzer_sys::fuzz_target!(|input: &[u8]| tasuki_fuzz::adapter("mautic", input));

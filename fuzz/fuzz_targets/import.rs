#![no_main]
//! The adapter of the protocol "import".

libfuzzer_sys::fuzz_target!(|input: &[u8]| tasuki_fuzz::adapter("import", input));

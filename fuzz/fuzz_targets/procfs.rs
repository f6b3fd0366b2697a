//! Any bytes, given to every parser of the host collectors. What is looked for is a panic, or memory without end.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| collect::fuzz_parsers(bytes));

//! Any bytes, taken as each answer of a container engine and as a line of the marks' file. What is looked for is a panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| masthead::docker::fuzz_answers(bytes));

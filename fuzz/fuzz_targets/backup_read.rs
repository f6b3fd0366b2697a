//! Any bytes as the tar in a backup: what it holds or why it is refused, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| stack::archive::fuzz_read(bytes));

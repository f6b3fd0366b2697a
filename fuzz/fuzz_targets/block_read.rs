//! Any bytes as a block: the reader gives data or an error, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Most inputs are no block; what is read of those that are is checked inside.
    let _ = tsdb::block::fuzz_read(bytes);
});

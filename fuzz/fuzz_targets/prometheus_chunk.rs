//! Any bytes as a chunk of floats as Prometheus encodes them: what it holds or an error, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Only that it comes back counts.
    let _ = tsdb::prometheus::fuzz_chunk(bytes);
});

//! Any bytes as a file of tombstones of a Prometheus block: what it holds or an error, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // What is read is checked inside; bytes that a checksum stops are tried behind it too.
    let _ = tsdb::prometheus::fuzz_tombstones(bytes);
});

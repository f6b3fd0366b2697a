//! Any bytes as a segment of the log: records, or damage that is stepped over, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // What the records hold is decoded inside, chunks too.
    let _ = tsdb::wal::fuzz_read(bytes);
});

//! Exposition text of both formats: any bytes are read or refused, and every label is looked at.
#![no_main]

use libfuzzer_sys::fuzz_target;
use masthead::scrape::exposition::{Format, Sample, Sink, parse};

struct Look;

impl Sink for Look {
    fn sample(&mut self, sample: Sample<'_>) -> Result<(), String> {
        for pair in sample.pairs() {
            let (name, _) = pair?;
            assert!(!name.is_empty(), "an empty label name came through");
        }
        Ok(())
    }
}

fuzz_target!(|body: &[u8]| {
    let _ = parse(body, Format::Text, &mut Look);
    let _ = parse(body, Format::OpenMetrics, &mut Look);
});

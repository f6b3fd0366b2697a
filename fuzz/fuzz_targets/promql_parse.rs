//! Any text through the parser: it must answer, and what it takes must print to something that it takes again, the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use promql::{parser, printer};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(expr) = parser::parse(text) else { return };
    let line = printer::format(&expr);
    for printed in [line.clone(), printer::pretty(&expr)] {
        match parser::parse(&printed) {
            Ok(again) => assert_eq!(printer::format(&again), line),
            Err(e) => panic!("{printed}: {e}"),
        }
    }
});

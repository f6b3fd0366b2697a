//! The fuzzer's corpus, run as a plain test: parse, print, parse again.

use std::fs;
use std::path::Path;

use promql::{parser, printer};

mod tree;
use tree::normalised;

#[test]
fn the_corpus_parses_and_prints() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/promql_parse");
    let (mut files, mut queries) = (0, 0);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        files += 1;
        let bytes = fs::read(&path).unwrap();
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        let parsed = parser::parse(&text);
        assert!(
            !name.starts_with("bad_") || parsed.is_err(),
            "{name}: {text} is taken"
        );
        let Ok(expr) = parsed else { continue };
        queries += 1;
        for printed in [printer::format(&expr), printer::pretty(&expr)] {
            let again = parser::parse(&printed).unwrap_or_else(|e| panic!("{name}: {printed}: {e}"));
            assert_eq!(normalised(&again), normalised(&expr), "{name}: {printed}");
        }
    }
    assert!(files >= 40, "only {files} files in {}", folder.display());
    assert!(queries >= 30, "only {queries} files hold a query");
}

//! The table of container metrics in `docs/metrics.md` is made from the collector's own list.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use collect::container_families;

const BEGIN: &str = "<!-- families: made by `cargo test -p masthead --test metrics_doc` -->\n";
const END: &str = "<!-- end of families -->";

/// Metrics of ours about containers and their engine: cAdvisor has nothing of the kind. Name, type and help are read where they
/// are made, so that none can be forgotten.
const SOURCE: &str = include_str!("../src/docker/families.rs");

fn ours() -> Vec<(String, &'static str, String)> {
    let code = SOURCE.split("#[cfg(test)]").next().unwrap_or_default();
    let literal = |from: usize| {
        let rest = code.get(from..)?;
        let open = rest.find('"')? + 1;
        let text = rest.get(open..)?.split('"').next()?;
        Some((text.to_owned(), from + open + text.len() + 1))
    };
    let mut found = Vec::new();
    for (at, _) in code.match_indices("\"masthead_") {
        let (name, after) = literal(at).expect("a name");
        let (help, after) = literal(after).expect("a help text");
        let before = code.get(..at).unwrap_or_default();
        let made_by = before.rsplit("Family::").next().unwrap_or_default();
        let next = code.get(after..).unwrap_or_default();
        let is_counter = made_by.starts_with("counter(")
            || (made_by.starts_with("new(")
                && next
                    .trim_start_matches([',', ' ', '\n'])
                    .starts_with("MetricType::Counter"));
        found.push((name, if is_counter { "counter" } else { "gauge" }, help));
    }
    found
}

fn section() -> String {
    let families = container_families();
    let collected = families.iter().filter(|family| family.left_out.is_none());
    let left_out = families
        .iter()
        .filter_map(|family| Some((family, family.left_out?)));
    let mut text = format!(
        "\n{} families are collected:\n\n| cAdvisor's name | type | help |\n|---|---|---|\n",
        collected.clone().count()
    );
    for family in collected {
        writeln!(
            text,
            "| `{}` | {} | {} |",
            family.name,
            family.kind.as_str(),
            family.help
        )
        .expect("a string");
    }
    writeln!(
        text,
        "\n{} are left out:\n\n| cAdvisor's name | type | why |\n|---|---|---|",
        left_out.clone().count()
    )
    .expect("a string");
    for (family, why) in left_out {
        writeln!(text, "| `{}` | {} | {why} |", family.name, family.kind.as_str()).expect("a string");
    }
    text.push_str("\nBeside them, of our own:\n\n| name | type | help |\n|---|---|---|\n");
    for (name, kind, help) in ours() {
        writeln!(text, "| `{name}` | {kind} | {help} |").expect("a string");
    }
    text.push('\n');
    text
}

#[test]
fn the_table_of_container_metrics_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let document = fs::read_to_string(&path).expect("docs/metrics.md");
    let (before, rest) = document.split_once(BEGIN).expect("the beginning of the section");
    let (inside, after) = rest.split_once(END).expect("the end of the section");
    let wanted = section();
    if inside == wanted {
        return;
    }
    assert!(
        std::env::var_os("MASTHEAD_UPDATE_DOCS").is_some(),
        "docs/metrics.md is out of date: run this test again with MASTHEAD_UPDATE_DOCS=1"
    );
    fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).expect("docs/metrics.md can be written");
}

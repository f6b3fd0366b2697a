//! The table of container metrics in `docs/metrics.md` is made from the collector's own list.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use collect::container_families;

const BEGIN: &str = "<!-- families: made by `cargo test -p masthead --test metrics_doc` -->\n";
const END: &str = "<!-- end of families -->";

/// Metrics of ours about containers: cAdvisor has nothing of the kind.
const OURS: &[(&str, &str, &str)] = &[
    (
        "masthead_container_state",
        "gauge",
        "1 for the state that a container is in, running or not",
    ),
    (
        "masthead_container_restarts_total",
        "counter",
        "restarts by the engine's policy",
    ),
    (
        "masthead_container_exit_code",
        "gauge",
        "exit code of the last end",
    ),
    (
        "masthead_container_events_total",
        "counter",
        "deploys, starts, stops, exits, OOM kills, health, by `app` and `event`",
    ),
];

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
    text.push_str("\nBeside them, of our own:\n\n| name | type | what |\n|---|---|---|\n");
    for (name, kind, what) in OURS {
        writeln!(text, "| `{name}` | {kind} | {what} |").expect("a string");
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

//! Configuration from one way to the other: scrape configs, the interval, the external labels, and the files that they name.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Map, Value};

use crate::config::Config;

/// Where the base directory lies in Prometheus' container.
const IN_CONTAINER: &str = "/etc/prometheus";
/// Keys whose value is a file.
const FILE_KEYS: [&str; 3] = ["password_file", "credentials_file", "ca_file"];

/// A file of scrape configs: its path, and its text.
pub type File = (PathBuf, String);

/// `masthead.yml` for what a stack scrapes.
///
/// # Errors
/// A file is no YAML, or holds something that `masthead up` does not have.
pub fn to_embedded(interval: &str, server: &str, own: &[File], base_dir: &Path) -> anyhow::Result<String> {
    let mut configs = Vec::new();
    for (path, text) in own {
        let yaml = read(path, text)?;
        let list = yaml["scrape_configs"].as_array().cloned().unwrap_or_default();
        for mut config in list {
            let folder = path.parent().unwrap_or(base_dir);
            each_file(&mut config, &mut |file| {
                *file = match file.strip_prefix(IN_CONTAINER) {
                    Some(rest) => base_dir.join(rest.trim_start_matches('/')).display().to_string(),
                    None => folder.join(&*file).display().to_string(),
                };
                Ok(())
            })?;
            configs.push(config);
        }
    }
    let mut file = Map::new();
    file.insert(
        "global".to_owned(),
        serde_json::json!({ "scrape_interval": interval, "external_labels": { "server": server } }),
    );
    if !configs.is_empty() {
        file.insert("scrape_configs".to_owned(), Value::Array(configs));
    }
    file.insert(
        "masthead".to_owned(),
        serde_json::json!({ "collect": { "interval": interval } }),
    );
    let text = format!(
        "# Made by `masthead migrate embedded` from the stack in {}.\n{}",
        base_dir.display(),
        yaml(&Value::Object(file))
    );
    Config::parse(&text, Path::new("masthead.yml")).map_err(|error| {
        let files: Vec<String> = own.iter().map(|(path, _)| path.display().to_string()).collect();
        anyhow::anyhow!(
            "the stack's own scrape configs ({}) cannot be carried over whole: {error}; take out what `masthead up` does not have, and \
             run this again",
            files.join(", ")
        )
    })?;
    Ok(text)
}

/// What a stack needs for what a `masthead.yml` says.
#[derive(Debug, Default, PartialEq)]
pub struct ForUpstream {
    /// The file for `conf.d/`; `None` where there is nothing for it.
    pub scrape_configs: Option<String>,
    /// `global: scrape_interval`.
    pub interval: Option<String>,
    /// The external label `server`.
    pub server: Option<String>,
    /// Files that it names, with their names in `conf.d/`.
    pub files: Vec<(PathBuf, String)>,
    /// What is not the same in a container, a sentence each.
    pub warnings: Vec<String>,
}

/// Reads a `masthead.yml`.
///
/// # Errors
/// It is none that `masthead up` would take.
pub fn to_upstream(path: &Path, text: &str) -> anyhow::Result<ForUpstream> {
    Config::parse(text, path)?;
    let file = read(path, text)?;
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let mut found = ForUpstream {
        interval: word(&file["global"]["scrape_interval"]),
        server: word(&file["global"]["external_labels"]["server"]),
        ..ForUpstream::default()
    };
    let mut configs = file["scrape_configs"].as_array().cloned().unwrap_or_default();
    let folder = path.parent().unwrap_or(Path::new("/"));
    for config in &mut configs {
        let job = config["job_name"].as_str().unwrap_or_default().to_owned();
        each_file(config, &mut |named| {
            let from = folder.join(&*named);
            let name = format!("{}-{}", found.files.len() + 1, base_name(&from));
            *named = format!("{IN_CONTAINER}/conf.d/{name}");
            found.files.push((from, name));
            Ok(())
        })?;
        let targets = config["static_configs"].as_array().into_iter().flatten();
        let local = targets
            .flat_map(|one| one["targets"].as_array().into_iter().flatten())
            .filter_map(Value::as_str)
            .filter(|target| {
                ["localhost", "127.", "[::1]"]
                    .iter()
                    .any(|local| target.starts_with(local))
            });
        for target in local {
            found.warnings.push(format!(
                "job {job} has the target {target}: in Prometheus' container that is the container itself; name the host's address \
                 in network `masthead`, or the target's container, in conf.d/migrated.yml"
            ));
        }
    }
    if !configs.is_empty() {
        found.scrape_configs = Some(format!(
            "# Made by `masthead migrate upstream` from {}.\n{}",
            path.display(),
            yaml(&serde_json::json!({ "scrape_configs": configs }))
        ));
    }
    Ok(found)
}

fn base_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn read(path: &Path, text: &str) -> anyhow::Result<Value> {
    serde_saphyr::from_str::<Option<Value>>(text)
        .map(Option::unwrap_or_default)
        .with_context(|| format!("reading {}", path.display()))
}

/// Calls `change` with each path of a file in a scrape config.
fn each_file(
    value: &mut Value,
    change: &mut dyn FnMut(&mut String) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(path) if FILE_KEYS.contains(&key.as_str()) => change(path)?,
                    value => each_file(value, change)?,
                }
            }
            Ok(())
        }
        Value::Array(list) => list.iter_mut().try_for_each(|one| each_file(one, change)),
        _ => Ok(()),
    }
}

/// As YAML, a line a value; text is quoted, which is right whatever it is.
fn yaml(value: &Value) -> String {
    let mut out = String::new();
    write_yaml(&mut out, value, 0);
    out
}

fn write_yaml(out: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let _ = write!(out, "{indent}{}:", plain_key(key));
                write_behind(out, value, depth);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for value in list {
                let mut item = String::new();
                write_yaml(&mut item, value, depth + 1);
                // The item's first line stands behind its dash.
                let rest = item.get(indent.len() + 2..).unwrap_or_default();
                let _ = write!(out, "{indent}- {rest}");
            }
        }
        scalar => {
            let _ = writeln!(out, "{indent}{scalar}");
        }
    }
}

fn write_behind(out: &mut String, value: &Value, depth: usize) {
    let is_block = match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    if is_block {
        out.push('\n');
        write_yaml(out, value, depth + 1);
    } else {
        let _ = writeln!(out, " {value}");
    }
}

/// A key that needs no quotes, or with them.
fn plain_key(key: &str) -> String {
    let is_plain = !key.is_empty()
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && key.starts_with(|c: char| c.is_ascii_alphabetic());
    // Words that YAML takes for something else.
    let is_word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|word| key.eq_ignore_ascii_case(word));
    match is_plain && !is_word {
        true => key.to_owned(),
        false => Value::String(key.to_owned()).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "scrape_configs:\n  - job_name: shop\n    scrape_interval: 5s\n    basic_auth: {username: a, password_file: pw}\n    \
                       static_configs:\n      - targets: ['shop-web:8080', \"127.0.0.1:1\"]\n        labels: {on: 'yes', n: 'a \"b\": c'}\n";

    #[test]
    fn scrape_configs_go_there_and_back() {
        let own = vec![
            (PathBuf::from("/b/conf.d/shop.yml"), OWN.to_owned()),
            (PathBuf::from("/b/conf.d/empty.yml"), String::new()),
        ];
        let text = to_embedded("15s", "web-1", &own, Path::new("/b")).unwrap();
        let config = Config::parse(&text, Path::new("x")).unwrap();
        assert_eq!(config.scrape_configs.len(), 1, "{text}");
        assert!(text.contains("password_file: \"/b/conf.d/pw\""), "{text}");
        let back = to_upstream(Path::new("/etc/masthead/masthead.yml"), &text).unwrap();
        assert_eq!(
            (back.interval.as_deref(), back.server.as_deref()),
            (Some("15s"), Some("web-1"))
        );
        assert_eq!(back.files, [(PathBuf::from("/b/conf.d/pw"), "1-pw".to_owned())]);
        assert!(back.warnings[0].contains("127.0.0.1:1"), "{:?}", back.warnings);
        let there = back.scrape_configs.unwrap();
        assert!(there.contains("/etc/prometheus/conf.d/1-pw"), "{there}");
        // In the container's words again: the same as it was, but for the file.
        let mut first = read(Path::new("x"), OWN).unwrap();
        first["scrape_configs"][0]["basic_auth"]["password_file"] = "/etc/prometheus/conf.d/1-pw".into();
        assert_eq!(read(Path::new("x"), &there).unwrap(), first);
    }

    #[test]
    fn what_cannot_be_carried_over_is_named() {
        let own = vec![(
            PathBuf::from("/b/conf.d/k.yml"),
            "scrape_configs: [{job_name: k, kubernetes_sd_configs: [{role: pod}]}]".to_owned(),
        )];
        let error = to_embedded("15s", "a", &own, Path::new("/b"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("kubernetes_sd_configs") && error.contains("/b/conf.d/k.yml"),
            "{error}"
        );
        let empty = to_upstream(Path::new("/m.yml"), "").unwrap();
        assert_eq!(empty, ForUpstream::default());
    }
}

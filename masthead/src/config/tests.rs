//! Configuration files, right and wrong, as tables.

use std::path::Path;
use std::time::Duration;

use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("masthead.yml")).map_err(|error| error.to_string())
}

/// Parses a file that must be wrong; its message must begin and go on as told.
fn check_error(text: &str, place: &str, parts: &[&str]) {
    let error = parse(text).expect_err(text);
    assert!(
        error.starts_with(&format!("masthead.yml:{place}: ")),
        "{text}\n  gave: {error}"
    );
    for part in parts {
        assert!(error.contains(part), "{text}\n  gave: {error}\n  lacks: {part}");
    }
}

#[test]
fn a_whole_file() {
    let config = parse(
        r#"
# comment
global:
  scrape_interval: 30s
  external_labels: { site: home, n: 5 }
  sample_limit: 1000
scrape_configs:
  - job_name: app
    scrape_interval: 5s
    metrics_path: /m
    scheme: https
    params: { "match[]": [a, 'b c'], debug: ["1"] }
    basic_auth: { username: u, password: hunter2 }
    tls_config: { insecure_skip_verify: true, server_name: example.com }
    body_size_limit: 10MB
    static_configs:
      - targets: ["localhost:9100", '[::1]:9101', plain]
        labels: { env: prod }
      - targets: []
  - job_name: token
    honor_labels: true
    honor_timestamps: false
    follow_redirects: false
    enable_compression: false
    sample_limit: 0
    authorization: { credentials_file: token.txt }
masthead:
  collect: { interval: 10s, procfs: /proc, instance: "box:9100" }
  containers: { docker: "unix:///run/podman/podman.sock", labels: ["traefik.*", team], cgroups: all, per_cpu: true }
"#,
    )
    .unwrap();
    assert_eq!(config.global.scrape_interval, Duration::from_secs(30));
    assert_eq!(config.global.scrape_timeout, Duration::from_secs(10));
    assert_eq!(
        config.global.external_labels,
        Labels::from_pairs([("site", "home"), ("n", "5")])
    );
    let app = &config.scrape_configs[0];
    assert_eq!(
        (app.scrape_interval.as_secs(), app.scrape_timeout.as_secs()),
        (5, 5)
    );
    assert_eq!((app.limits.samples, app.limits.body_size_bytes), (1000, 10 << 20));
    assert_eq!(app.params["match[]"], ["a", "b c"]);
    assert_eq!(
        app.static_configs[0].targets,
        ["localhost:9100", "[::1]:9101", "plain"]
    );
    assert_eq!(app.scheme, Scheme::Https);
    let token = &config.scrape_configs[1];
    assert_eq!(token.limits.samples, 0);
    assert!(token.honor_labels && !token.honor_timestamps && !token.follow_redirects);
    assert!(
        matches!(&token.auth, Some(Auth::Header { kind, credentials: SecretSource::File(_) }) if kind == "Bearer")
    );
    assert_eq!(config.masthead.collect.interval, Duration::from_secs(10));
    assert_eq!(config.masthead.collect.instance.as_deref(), Some("box:9100"));
    let containers = &config.masthead.containers;
    assert_eq!(
        containers.docker.as_deref(),
        Some(Path::new("/run/podman/podman.sock"))
    );
    assert_eq!(containers.labels, ["traefik.*", "team"]);
    assert!(containers.enabled && containers.per_cpu && containers.instance.is_none());
    assert_eq!(containers.cgroups, Groups::All);
}

#[test]
fn the_collection_interval_follows_what_is_written() {
    for (text, secs) in [
        ("", 15),
        ("global: {scrape_interval: 40s}\n", 40),
        (
            "global: {scrape_interval: 40s}\nmasthead: {collect: {enabled: false, interval: 7s}}\n",
            7,
        ),
        ("masthead: {collect: {rootfs: /}}\n", 15),
    ] {
        assert_eq!(
            parse(text).unwrap().masthead.collect.interval,
            Duration::from_secs(secs),
            "{text:?}"
        );
    }
}

#[test]
fn nothing_written_is_the_default() {
    for text in [
        "",
        "\n# only a comment\n",
        "---\n",
        "global:\n",
        "scrape_configs:\n",
        "scrape_configs: []\nmasthead:\n",
    ] {
        assert_eq!(parse(text).unwrap(), Config::default(), "{text:?}");
    }
}

#[test]
fn written_out_and_read_again_it_is_the_same() {
    let text = "global: {external_labels: {a: 'true', 'b c': \"x\\ty\"}, label_limit: 9}\n\
        scrape_configs:\n- job_name: \"a: b\"\n  params: {q: ['', '5', '# x'], none: []}\n  body_size_limit: 1KB\n  \
        tls_config: {server_name: h, insecure_skip_verify: true}\n  static_configs: [{targets: ['a:1']}, {targets: [], labels: {x: 'ü\\'}}]\n\
        masthead: {containers: {enabled: false, docker: 'unix:///a b.sock', labels: ['*', 'a: b'], cgroups: none, instance: 'h:1'}}\n";
    let config = parse(text).unwrap();
    let yaml = config.to_yaml();
    assert_eq!(parse(&yaml).expect(&yaml), config, "{yaml}");
    assert_eq!(parse(&Config::default().to_yaml()).unwrap(), Config::default());
    let bare = parse("masthead: {containers: {labels: []}}\n").unwrap();
    assert_eq!(parse(&bare.to_yaml()).unwrap(), bare);
    assert!(bare.masthead.containers.labels.is_empty());
}

#[test]
fn servers_are_all_none_or_some() {
    for (text, want) in [
        ("masthead:\n", ServersConfig::All),
        ("masthead: {servers: all}\n", ServersConfig::All),
        ("masthead: {servers: off}\n", ServersConfig::Off),
        ("masthead: {servers: false}\n", ServersConfig::Off),
        (
            "masthead: {servers: [web-1, web-2]}\n",
            ServersConfig::Named(vec!["web-1".into(), "web-2".into()]),
        ),
        ("masthead: {servers: []}\n", ServersConfig::Named(Vec::new())),
    ] {
        let config = parse(text).unwrap();
        assert_eq!(config.masthead.servers, want, "{text:?}");
        assert_eq!(parse(&config.to_yaml()).unwrap(), config, "{text:?}");
    }
    check_error("masthead: {servers: web-1}\n", "1:21", &["[web-1]"]);
    check_error("masthead: {servers: ['']}\n", "1:21", &["servers: \"\""]);
    check_error("masthead: {servers: {a: 1}}\n", "1:21", &["list of names"]);
}

#[test]
fn secrets_do_not_show() {
    let config = parse(
        "scrape_configs:\n- job_name: a\n  basic_auth: {username: u, password: hunter2}\n\
         - job_name: b\n  authorization: {credentials: hunter2}\n",
    )
    .unwrap();
    let yaml = config.to_yaml();
    assert!(
        yaml.contains("    password: <secret>\n") && yaml.contains("    credentials: <secret>\n"),
        "{yaml}"
    );
    for text in [
        yaml,
        format!("{config:?}"),
        serde_json::to_string(&Secret::new("hunter2".into())).unwrap(),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("<secret>"), "{text}");
    }
}

#[test]
fn wrong_keys_name_the_right_ones() {
    check_error(
        "global:\n  scrape_intervall: 5s\n",
        "2:3",
        &[
            "unknown key \"scrape_intervall\" in global",
            "did you mean \"scrape_interval\"?",
            "evaluation_interval",
        ],
    );
    check_error(
        "scrape_config: []\n",
        "1:1",
        &["did you mean \"scrape_configs\"", "masthead"],
    );
    check_error(
        "scrape_configs:\n- job_name: a\n  zzz: 1\n",
        "3:3",
        &["unknown key \"zzz\" in a scrape config (keys"],
    );
    check_error("masthead:\n  colect: {}\n", "2:3", &["did you mean \"collect\""]);
    check_error(
        "masthead:\n  containers:\n    label: []\n",
        "3:5",
        &[
            "unknown key \"label\" in masthead.containers",
            "did you mean \"labels\"",
            "docker",
        ],
    );
    check_error(
        "scrape_configs:\n- job_name: a\n  static_configs:\n  - target: [a]\n",
        "4:5",
        &["\"targets\""],
    );
    for (text, place, key) in [
        ("rule_files: []\n", "1:1", "rule_files"),
        ("global:\n  query_log_file: x\n", "2:3", "query_log_file"),
        (
            "scrape_configs:\n- job_name: a\n  relabel_configs: []\n",
            "3:3",
            "relabel_configs",
        ),
        (
            "scrape_configs:\n- job_name: a\n  docker_sd_configs: []\n",
            "3:3",
            "docker_sd_configs",
        ),
        ("remote_write:\n- url: x\n", "1:1", "remote_write"),
        (
            "scrape_configs:\n- job_name: a\n  tls_config: {cert_file: x}\n",
            "3:16",
            "cert_file",
        ),
    ] {
        check_error(text, place, &[key, "Prometheus knows", "not support it yet"]);
    }
}

#[test]
fn wrong_values_say_what_is_right() {
    let job = |rest: &str| format!("scrape_configs:\n- job_name: a\n  {rest}\n");
    for (text, place, part) in [
        (
            "global:\n  scrape_interval: 5x\n".to_owned(),
            "2:20",
            "not a duration",
        ),
        (
            "global: {scrape_interval: 0s}\n".to_owned(),
            "1:27",
            "greater than 0",
        ),
        (
            "global: {scrape_interval: 5s, scrape_timeout: 6s}\n".to_owned(),
            "1:47",
            "greater than the scrape_interval 5s",
        ),
        (job("scrape_timeout: 2m"), "3:19", "scrape_timeout 2m is greater"),
        (job("body_size_limit: 10"), "3:20", "not a size"),
        (job("scheme: ftp"), "3:11", "neither http nor https"),
        (job("metrics_path: metrics"), "3:17", "slash"),
        (job("metrics_path: /m?x=1"), "3:17", "params"),
        (
            job("static_configs: [{targets: ['http://a/metrics']}]"),
            "3:31",
            "scheme",
        ),
        (job("static_configs: [{targets: ['a:99999']}]"), "3:31", "port"),
        (job("static_configs: [{targets: ['a b:1']}]"), "3:31", "character"),
        (
            job("static_configs: [{targets: [':80']}]"),
            "3:31",
            "host is missing",
        ),
        (job("static_configs: [{targets: ['[::1:80']}]"), "3:31", "bracket"),
        (
            job("static_configs: [{labels: {__address__: x}}]"),
            "3:43",
            "relabelling",
        ),
        (job("static_configs: [{labels: {'': x}}]"), "3:34", "empty"),
        (
            job("static_configs: [{labels: {__name__: x}}]"),
            "3:40",
            "metric's name",
        ),
    ] {
        check_error(&text, place, &[part]);
    }
}

#[test]
fn wrong_credentials_and_places_say_what_is_right() {
    let job = |rest: &str| format!("scrape_configs:\n- job_name: a\n  {rest}\n");
    for (text, place, part) in [
        (job("tls_config: {ca_file: /no/such/file}"), "3:25", "not there"),
        (job("tls_config: {server_name: 'a b'}"), "3:29", "not a host name"),
        (job("tls_config: {server_name: h}"), "3:29", "needs a ca_file"),
        (job("basic_auth: {password: x}"), "3:15", "needs a username"),
        (
            job("basic_auth: {username: u, password: x, password_file: y}"),
            "3:15",
            "not both",
        ),
        (
            job("authorization: {type: basic, credentials: x}"),
            "3:18",
            "use basic_auth",
        ),
        (job("authorization: {}"), "3:18", "needs credentials"),
        (
            job("basic_auth: {username: u}\n  authorization: {credentials: x}"),
            "4:18",
            "at most one",
        ),
        (job("honor_labels: maybe"), "3:17", "bool"),
        (job("sample_limit: -1"), "3:17", "u64"),
        (
            "scrape_configs:\n- job_name: a\n- job_name: a\n".to_owned(),
            "3:13",
            "already used in line 2",
        ),
        (
            "scrape_configs:\n- scheme: http\n".to_owned(),
            "2:3",
            "no job_name",
        ),
        ("scrape_configs:\n- job_name: ''\n".to_owned(), "2:13", "empty"),
        (
            "masthead: {collect: {procfs: /no/such}}\n".to_owned(),
            "1:30",
            "not a folder",
        ),
        (
            "global:\n  scrape_interval: 5s\n  scrape_interval: 6s\n".to_owned(),
            "3:3",
            "duplicate mapping key: scrape_interval",
        ),
        ("global: [\n".to_owned(), "1:9", "mapping"),
    ] {
        check_error(&text, place, &[part]);
    }
}

#[test]
fn wrong_settings_of_containers_say_what_is_right() {
    for (text, place, part) in [
        (
            "masthead: {containers: {docker: /run/x.sock}}\n",
            "1:33",
            "unix:///var/run/docker.sock",
        ),
        (
            "masthead: {containers: {docker: 'tcp://h:1'}}\n",
            "1:33",
            "local socket",
        ),
        (
            "masthead: {containers: {cgroups: some}}\n",
            "1:34",
            "none, top and all",
        ),
        (
            "masthead: {containers: {labels: [a, 'b*c']}}\n",
            "1:37",
            "at the end only",
        ),
        ("masthead: {containers: {labels: ['']}}\n", "1:34", "empty"),
        (
            "masthead: {containers: {instance: ''}}\n",
            "1:35",
            "instance is empty",
        ),
    ] {
        check_error(text, place, &[part]);
    }
}

#[test]
fn a_file_that_is_not_there() {
    let error = Config::load(Path::new("/no/such/masthead.yml"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot read the configuration file /no/such/masthead.yml: "),
        "{error}"
    );
}

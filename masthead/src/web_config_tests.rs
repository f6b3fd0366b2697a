//! `web.yml` files, right and wrong; logins; a handshake with a certificate made for the test.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

fn basic(name: &str, password: &str) -> String {
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"))
    )
}

fn users(cost: u32) -> WebConfig {
    let hash = bcrypt::hash("hunter2", cost).unwrap();
    WebConfig::parse(
        &format!("basic_auth_users:\n  admin: {hash}\n  other: '{hash}'\n"),
        Path::new("web.yml"),
    )
    .unwrap()
}

#[test]
fn who_may_come_in() {
    let config = users(4);
    assert!(config.has_users() && config.warnings()[0].contains("unencrypted"));
    let good = basic("admin", "hunter2");
    assert_eq!(config.remembered(Some(&good)), None);
    for (header, want) in [
        (Some(good.as_str()), true),
        (Some(&*good.replace("Basic", "basic")), true),
        (Some(&*basic("other", "hunter2")), true),
        (Some(&*basic("admin", "hunter3")), false),
        (Some(&*basic("admin", "")), false),
        (Some(&*basic("nobody", "hunter2")), false),
        (Some(&*basic("", "")), false),
        (Some("Basic !!!"), false),
        (Some("Basic"), false),
        (Some("Bearer abc"), false),
        (Some(""), false),
        (Some(&*format!("Basic {}", "A".repeat(5000))), false),
        (None, false),
    ] {
        for _ in 0..2 {
            assert_eq!(config.authorized(header), want, "{header:?}");
        }
        assert_eq!(config.remembered(header), Some(want), "{header:?}");
    }
    assert!(!format!("{config:?}").contains("$2b$"));
}

#[test]
fn guesses_are_bounded_and_do_not_push_out_the_good() {
    let config = users(4);
    let good = basic("admin", "hunter2");
    assert!(config.authorized(Some(&good)));
    for n in 0..REMEMBERED + 10 {
        assert!(!config.authorized(Some(&basic("admin", &n.to_string()))));
    }
    assert_eq!(config.results.lock().unwrap().bad.len(), REMEMBERED);
    assert_eq!(config.remembered(Some(&good)), Some(true));
}

#[test]
fn an_unknown_user_is_checked_against_a_hash_that_works() {
    let config = users(5);
    // If the stand-in were malformed, verify would fail at once and tell by its speed that the user does not exist.
    assert_eq!(config.nobody.parse::<bcrypt::HashParts>().unwrap().get_cost(), 5);
    assert!(bcrypt::verify("x", &config.nobody).is_ok_and(|good| !good));
}

#[test]
fn without_users_everybody_may() {
    for text in [
        "",
        "# nothing\n",
        "http_server_config:\n  http2: true\n  headers: {X-Frame-Options: deny}\n",
    ] {
        let config = WebConfig::parse(text, Path::new("web.yml")).unwrap();
        assert!(config.authorized(None) && !config.has_users() && config.tls_acceptor().is_none());
        assert_eq!(config.headers().len(), usize::from(text.contains("X-Frame")));
    }
}

#[test]
fn wrong_files_say_what_is_right() {
    let costly = format!("$2b$20${}", ".".repeat(53));
    for (text, place, part) in [
        (
            "basic_auth_users: {a: hunter2}\n".to_owned(),
            "1:23",
            "not a bcrypt hash",
        ),
        (
            "basic_auth_users: {a: ''}\n".to_owned(),
            "1:23",
            "not a bcrypt hash",
        ),
        (
            format!("basic_auth_users: {{a: $2b$10${}}}\n", "a".repeat(20)),
            "1:23",
            "not a bcrypt hash",
        ),
        (format!("basic_auth_users: {{a: {costly}}}\n"), "1:23", "cost 20"),
        (
            format!(
                "basic_auth_users: {{a: $2b$10${}é{}}}\n",
                ".".repeat(21),
                ".".repeat(30)
            ),
            "1:23",
            "not a bcrypt hash",
        ),
        (
            format!("basic_auth_users: {{'a:b': {costly}}}\n"),
            "1:27",
            "colon",
        ),
        (
            "basic_auth_user: {}\n".to_owned(),
            "1:1",
            "did you mean \"basic_auth_users\"",
        ),
    ] {
        let error = WebConfig::parse(&text, Path::new("web.yml"))
            .expect_err(&text)
            .to_string();
        assert!(
            error.starts_with(&format!("web.yml:{place}: ")) && error.contains(part),
            "{text}\n  gave: {error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn wrong_keys_and_files_say_what_is_right() {
    for (text, place, part) in [
        ("rate_limit: {}\n".to_owned(), "1:1", "not support it yet"),
        (
            "tls_server_config: {client_ca_file: x}\n".to_owned(),
            "1:21",
            "not support it yet",
        ),
        (
            "tls_server_config: {cert_file: x}\n".to_owned(),
            "1:20",
            "both cert_file and key_file",
        ),
        (
            "tls_server_config: {cert_file: /no/such, key_file: x}\n".to_owned(),
            "1:32",
            "cert_file: cannot read /no/such",
        ),
        (
            "http_server_config: {headers: {Set-Cookie: x}}\n".to_owned(),
            "1:44",
            "cannot be set here",
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: \"a\\nb\"}}\n".to_owned(),
            "1:49",
            "no header may hold",
        ),
    ] {
        let error = WebConfig::parse(&text, Path::new("web.yml"))
            .expect_err(&text)
            .to_string();
        assert!(
            error.starts_with(&format!("web.yml:{place}: ")) && error.contains(part),
            "{text}\n  gave: {error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }
}

/// A self-signed certificate for `localhost`; `None`, said aloud, when the machine has no `openssl`.
fn certificate(folder: &Path, name: &str) -> Option<()> {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt")])
        .current_dir(folder)
        .output();
    match made {
        Ok(output) => {
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            Some(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED tests with certificates: there is no openssl");
            None
        }
        Err(error) => panic!("cannot run openssl: {error}"),
    }
}

#[test]
fn certificates_and_keys() {
    let folder = tempfile::tempdir().unwrap();
    let Some(()) = certificate(folder.path(), "a").and_then(|()| certificate(folder.path(), "b")) else {
        return;
    };
    std::fs::write(folder.path().join("empty"), "").unwrap();
    let web = folder.path().join("web.yml");
    let check = |settings: &str| {
        std::fs::write(&web, format!("tls_server_config: {{{settings}}}\n")).unwrap();
        WebConfig::load(&web)
    };
    for (settings, part) in [
        ("cert_file: a.crt, key_file: b.key", "do not work together"),
        ("cert_file: a.key, key_file: a.key", "holds no certificate"),
        ("cert_file: a.crt, key_file: a.crt", "no private key"),
        ("cert_file: a.crt, key_file: empty", "no private key"),
        (
            "cert_file: a.crt, key_file: none.key",
            "relative to the folder of this file",
        ),
        (
            "cert_file: a.crt, key_file: a.key, min_version: TLS10",
            "not safe",
        ),
        (
            "cert_file: a.crt, key_file: a.key, min_version: SSL3",
            "neither TLS12 nor TLS13",
        ),
        (
            "cert_file: a.crt, key_file: a.key, min_version: TLS13, max_version: TLS12",
            "below",
        ),
    ] {
        let error = check(settings).expect_err(settings).to_string();
        assert!(error.contains(part), "{settings}: {error}");
    }
    for (mode, warned) in [(0o600, 0), (0o644, 1)] {
        std::fs::set_permissions(folder.path().join("a.key"), std::fs::Permissions::from_mode(mode)).unwrap();
        let config = check("cert_file: a.crt, key_file: a.key, min_version: TLS13").unwrap();
        assert_eq!(config.warnings().len(), warned, "{:?}", config.warnings());
    }
}

#[tokio::test]
async fn a_scrape_client_and_the_server_shake_hands() {
    let folder = tempfile::tempdir().unwrap();
    let Some(()) = certificate(folder.path(), "a").and_then(|()| certificate(folder.path(), "b")) else {
        return;
    };
    let web = folder.path().join("web.yml");
    std::fs::write(&web, "tls_server_config: {cert_file: a.crt, key_file: a.key}\n").unwrap();
    let acceptor = WebConfig::load(&web).unwrap().tls_acceptor().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(stream).await else {
                continue;
            };
            let _ = tls.read(&mut [0; 4096]).await;
            let _ = tls
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\na 1\n")
                .await;
            let _ = tls.shutdown().await;
        }
    });
    for (host, tls, error) in [
        ("localhost", "ca_file: a.crt", ""),
        ("127.0.0.1", "ca_file: a.crt", ""),
        ("127.0.0.2", "insecure_skip_verify: true", "cannot connect"),
        ("127.0.0.1", "insecure_skip_verify: true", ""),
        (
            "127.0.0.1",
            "ca_file: b.crt",
            "cannot connect to the target: invalid peer certificate",
        ),
        ("127.0.0.1", "ca_file: a.crt, server_name: localhost", ""),
        (
            "127.0.0.1",
            "ca_file: a.crt, server_name: elsewhere.test",
            "cannot connect to the target: invalid peer certificate",
        ),
    ] {
        let text = format!(
            "scrape_configs:\n- job_name: j\n  scheme: https\n  tls_config: {{{tls}}}\n  static_configs: [{{targets: ['{host}:{port}']}}]\n"
        );
        let config = crate::config::Config::parse(&text, &folder.path().join("masthead.yml")).unwrap();
        let got = crate::scrape::fetch_once(&config.scrape_configs[0]).await;
        match got {
            Ok(body) => assert!(error.is_empty() && body == b"a 1\n", "{host} {tls}"),
            Err(got) => assert!(!error.is_empty() && got.starts_with(error), "{host} {tls}: {got}"),
        }
    }
}

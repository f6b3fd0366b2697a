//! Is a Masthead ready? For health checks of containers, which have no other program to ask with, and for `service install`.

use std::path::Path;
use std::time::Duration;

use crate::app::data_dir::{self, User};

/// A health check that hangs is none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// Who uses this folder and is ready.
///
/// # Errors
/// When nobody has said that they listen for this folder, or they do not answer that they are ready.
pub fn ready(data_dir: &Path) -> anyhow::Result<User> {
    let user = data_dir::user(data_dir).ok_or_else(|| {
        anyhow::anyhow!(
            "no Masthead listens for the data folder {}; start it with `masthead up`, or name another folder with --data-dir",
            data_dir.display()
        )
    })?;
    ask(&user.url)?;
    Ok(user)
}

/// Asks an address of ours; a demand for a password is an answer as good as any.
fn ask(url: &str) -> anyhow::Result<()> {
    crate::install_tls_provider();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let status = runtime.block_on(async {
        // Nothing is told to it, so it does not matter who it says it is: the address is this machine's own.
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .no_proxy()
            .timeout(ANSWER_TIMEOUT)
            .build()?;
        let response = client.get(format!("{url}/-/ready")).send().await?;
        Ok::<_, reqwest::Error>(response.status().as_u16())
    });
    match status {
        Ok(200 | 401) => Ok(()),
        Ok(status) => anyhow::bail!("asking {url}/-/ready: answered with {status}; it is not ready yet"),
        Err(e) if e.is_connect() && asks_for_certificate(&e) => Ok(()),
        Err(e) => anyhow::bail!("asking {url}/-/ready: {}; is it still running?", chain(&e)),
    }
}

/// With `client_auth_type: RequireAndVerifyClientCert` nobody without a certificate comes further than this.
fn asks_for_certificate(error: &reqwest::Error) -> bool {
    chain(error).to_lowercase().contains("certificate required")
        || chain(error).contains("CertificateRequired")
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    fn answering(status: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
        });
        format!("http://{address}")
    }

    #[test]
    fn ready_is_what_answers_so_or_asks_for_a_password() {
        ask(&answering("200 OK")).unwrap();
        ask(&answering("401 Unauthorized")).unwrap();
        let error = ask(&answering("503 Service Unavailable"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("503"), "{error}");
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = ask(&format!("http://{nobody}")).unwrap_err().to_string();
        assert!(
            error.contains(&nobody.to_string()) && error.contains("refused"),
            "{error}"
        );
    }

    #[test]
    fn a_folder_of_nobody_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = ready(folder.path()).unwrap_err().to_string();
        assert!(error.contains("--data-dir"), "{error}");
    }
}

//! What answers on a registered server, through a tunnel: the Prometheus of its stack, else the Masthead that runs there.

use std::net::SocketAddr;
use std::path::Path;

use stack::{Link, StackError};

use crate::app::data_dir;
use crate::servers::Kind;

/// Where a Masthead says which address it listens on, when it runs as root.
const DATA_DIR: &str = "/var/lib/masthead";

/// Prints the lock file while its process lives.
const STILL_THERE: &str = r#"[ -d "/proc/$(head -n 1 "$1")" ] && cat "$1""#;

/// What was found, and the tunnel's end on this machine.
pub(crate) struct Reached {
    pub(crate) kind: Kind,
    pub(crate) is_https: bool,
    pub(crate) address: SocketAddr,
    /// User and password; nothing where none are known.
    pub(crate) login: Option<(String, String)>,
}

impl Reached {
    /// Its address as a URL.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

/// Looks for what answers, and opens a tunnel to it. It is closed with the link.
pub(crate) async fn reach(link: &Link, base_dir: Option<&Path>) -> anyhow::Result<Reached> {
    let name = &link.server().name;
    let base_dir = stack::base_dir_over(link, base_dir).await?;
    match stack::access_over(link, &base_dir).await {
        Ok(access) => Ok(Reached {
            kind: Kind::Upstream,
            is_https: false,
            address: link.port(access.port).await?,
            login: Some((access.user, access.password)),
        }),
        Err(StackError::NotSetUp { .. }) => match embedded(link).await? {
            Some((is_https, port)) => Ok(Reached {
                kind: Kind::Embedded,
                is_https,
                address: link.port(port).await?,
                login: None,
            }),
            None => anyhow::bail!(
                "nothing on server {name} answers queries: no stack is set up under {}, and no Masthead has its data in {DATA_DIR}; \
                 `masthead setup --server {name}` makes a stack",
                base_dir.display()
            ),
        },
        Err(error) => Err(error.into()),
    }
}

/// Whether a Masthead there speaks TLS, and the port that it listens on.
async fn embedded(link: &Link) -> Result<Option<(bool, u16)>, StackError> {
    let file = format!("{DATA_DIR}/{}", data_dir::LOCK_FILE);
    let said = link
        .output("sh", &["-c", STILL_THERE, "masthead", &file], &[])
        .await?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    Ok(data_dir::parse_user(&text).and_then(|user| {
        let (scheme, rest) = user.url.split_once("://")?;
        let port = rest.rsplit_once(':')?.1.parse().ok()?;
        Some((scheme == "https", port))
    }))
}

//! What answers queries on a registered server, through a tunnel: its upstream stack, else the Masthead that runs there.

use std::path::Path;

use stack::{Link, Registry, StackError};

use crate::app::data_dir;
use crate::cli::stack::host_keys;
use crate::cli::upstream::Access;

/// Where a Masthead says which address it listens on, when it runs as root.
const DATA_DIR: &str = "/var/lib/masthead";

/// Prints the lock file while its process lives.
const STILL_THERE: &str = r#"[ -d "/proc/$(head -n 1 "$1")" ] && cat "$1""#;

/// Opens a tunnel to what answers there. It is closed with the link.
pub(super) async fn open(
    name: &str,
    base_dir: Option<&Path>,
    accept_new: bool,
) -> anyhow::Result<(Access, Link)> {
    let registry = Registry::load(&Registry::default_path())?;
    let server = registry.server(name)?;
    let link = Link::connect(server, host_keys(accept_new, true)).await?;
    let access = reach(&link, base_dir).await?;
    Ok((access, link))
}

/// Asks something, and once more over a new connection where the tunnel broke off meanwhile.
pub(super) async fn ask<T, E>(
    tunnel: Option<&Link>,
    ask: impl AsyncFn() -> Result<T, E>,
) -> anyhow::Result<Result<T, E>> {
    match (ask().await, tunnel) {
        (Err(_), Some(link)) if !link.is_alive().await => {
            link.come_back().await?;
            Ok(ask().await)
        }
        (answer, _) => Ok(answer),
    }
}

async fn reach(link: &Link, base_dir: Option<&Path>) -> anyhow::Result<Access> {
    let name = &link.server().name;
    let base_dir = stack::base_dir_over(link, base_dir).await?;
    match stack::access_over(link, &base_dir).await {
        Ok(access) => {
            let here = link.port(access.port).await?;
            Ok(Access {
                url: format!("http://{here}"),
                login: Some((access.user, access.password)),
            })
        }
        Err(StackError::NotSetUp { .. }) => match embedded(link).await? {
            Some((scheme, port)) => {
                let here = link.port(port).await?;
                Ok(Access {
                    url: format!("{scheme}://{here}"),
                    login: None,
                })
            }
            None => anyhow::bail!(
                "nothing on server {name} answers queries: no stack is set up under {}, and no Masthead has its data in {DATA_DIR}; \
                 `masthead setup --server {name}` makes a stack",
                base_dir.display()
            ),
        },
        Err(error) => Err(error.into()),
    }
}

/// The scheme and the port that a Masthead there listens on.
async fn embedded(link: &Link) -> Result<Option<(String, u16)>, StackError> {
    let file = format!("{DATA_DIR}/{}", data_dir::LOCK_FILE);
    let said = link
        .output("sh", &["-c", STILL_THERE, "masthead", &file], &[])
        .await?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    Ok(data_dir::parse_user(&text).and_then(|user| {
        let (scheme, rest) = user.url.split_once("://")?;
        let port = rest.rsplit_once(':')?.1.parse().ok()?;
        Some((scheme.to_owned(), port))
    }))
}

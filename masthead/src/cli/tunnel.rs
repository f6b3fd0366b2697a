//! What answers queries on a registered server, through a tunnel: its upstream stack, else the Masthead that runs there.

use std::path::Path;

use stack::{Link, Registry};

use crate::cli::stack::host_keys;
use crate::cli::upstream::Access;
use crate::servers::reach::reach;

/// Opens a tunnel to what answers there. It is closed with the link.
pub(super) async fn open(
    name: &str,
    base_dir: Option<&Path>,
    accept_new: bool,
) -> anyhow::Result<(Access, Link)> {
    let registry = Registry::load(&Registry::default_path())?;
    let server = registry.server(name)?;
    let link = Link::connect(server, host_keys(accept_new, true)).await?;
    let reached = reach(&link, base_dir).await?;
    let access = Access {
        url: reached.url(),
        login: reached.login,
    };
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

//! `masthead health`: is the Masthead of a data folder ready? For health checks.

use std::path::PathBuf;

use clap::Args;

use crate::app::data_dir;
use crate::cli::out;
use crate::service::health;

#[derive(Debug, Args)]
#[command(after_help = "Example, in a Dockerfile:
  HEALTHCHECK CMD [\"masthead\", \"health\"]

The address is the one that the running Masthead wrote into its data folder. The exit code is 1 when it is not ready.")]
pub(super) struct HealthArgs {
    /// The data folder of `up` [default: as for `up`]
    #[arg(long, value_name = "DIR", env = "MASTHEAD_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
}

pub(super) fn run(args: &HealthArgs) -> anyhow::Result<()> {
    let data_dir = match &args.data_dir {
        Some(dir) => dir.clone(),
        None => data_dir::default_path()?,
    };
    let user = health::ready(&data_dir)?;
    out::line(&format!("ready at {}/", user.url))
}

//! `throughcare run`: the daemon, in the foreground, until SIGTERM or SIGINT.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Common, Exit};
use crate::config::Config;
use crate::{daemon, telemetry};

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  throughcare run --config /etc/throughcare/throughcare.toml \\\n    --credentials /etc/throughcare/keys\n\n\
    SIGTERM finishes what is in flight and stops; SIGHUP reloads certificates,\nsigning key and directory."
)]
pub struct Arguments {
    /// Where a relative key path is looked for; what systemd passes when not given, else beside the settings
    #[arg(long, value_name = "FOLDER")]
    credentials: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<Exit> {
    let config = match &arguments.credentials {
        Some(folder) => Config::load_with(&common.config, Some(&std::path::absolute(folder)?))?,
        None => common.settings()?,
    };
    telemetry::start_log(config.telemetry.log, config.telemetry.level)
        .context("the log could not be started")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async move {
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be received")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be received")?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        daemon::run(config, stop).await
    })?;
    Ok(Exit::Done)
}

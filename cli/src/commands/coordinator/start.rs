//! `gleaner coordinator start`.

use anyhow::{Context as _, Result};
use clap::Args;
use gleaner_client::Client;
use gleaner_coordinator::{Config, Coordinator, readable_address};
use serde_json::json;

use crate::commands::Context;
use crate::descriptors;
use crate::failure::Exit;
use crate::operands::{DataPlace, Reach, whole};
use crate::signals::StopRequests;

/// What `gleaner coordinator start` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The port for workers, UDP and TCP; 0 is any free one [default: that of the last start, and
    /// 4747 at the first]
    #[arg(long, value_parser = whole(0, u16::MAX))]
    pub port: Option<u16>,
    /// The port of the control API on loopback; 0 is any free one [default: 4748]
    #[arg(long, value_parser = whole(0, u16::MAX))]
    pub api_port: Option<u16>,
    #[command(flatten)]
    pub reach: Reach,
    #[command(flatten)]
    pub place: DataPlace,
}

/// Runs the coordinator until it is asked to stop.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let mut stop = StopRequests::listen()?;
    descriptors::warn_of_few();
    let data = context.coordinator_data();
    let mut config = Config::new(data, context.program.clone());
    config.port = arguments.port;
    config.network_folders = arguments.place.network_folders();
    config.api_port = arguments.api_port.unwrap_or(config.api_port);
    config.mdns = !(arguments.reach.no_mdns || arguments.reach.loopback);
    config.loopback_only = arguments.reach.loopback;
    let mut coordinator = gleaner_coordinator::start(config).await?;
    introduce(context, &coordinator).await?;
    let ended = tokio::select! {
        ended = coordinator.stopped() => ended,
        asked = stop.next() => {
            asked?;
            context.printer.note("stopping; once more ends it at once");
            stop.or_at_once(coordinator.stop()).await;
            return Ok(Exit::Done);
        }
    };
    ended.context("the coordinator ended")?;
    Ok(Exit::Done)
}

async fn introduce(context: &Context, coordinator: &Coordinator) -> Result<()> {
    let project = Client::open(&context.coordinator_data())?.project().await?;
    let fingerprint = project.project.fingerprint();
    let (addresses, api) = (coordinator.addresses().await, coordinator.api_address());
    let value = json!({
        "project": project.project,
        "fingerprint": fingerprint,
        "name": project.name,
        "addresses": addresses,
        "api_address": api,
        "data": context.coordinator_data().display().to_string(),
    });
    context.printer.result(&value, || {
        let mut lines = vec![
            format!("project      {} ({})", project.name, project.operator),
            format!("fingerprint  {fingerprint}"),
            format!("data         {}", context.coordinator_data().display()),
            format!("control API  http://{api}"),
        ];
        let reachable = |address: &String| format!("reachable    {}", readable_address(address));
        lines.extend(addresses.iter().map(reachable));
        if addresses.is_empty() {
            lines.push("reachable    by nobody: this machine is on no network".into());
        }
        lines.push("next: gleaner coordinator invite, and gleaner submit JOB.toml".into());
        lines
    })?;
    Ok(())
}

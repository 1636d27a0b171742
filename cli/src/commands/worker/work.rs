//! What `worker start` and `worker join` share: how to work, and working.

use anyhow::Result;
use clap::Args;
use gleaner_protocol::limits::SLOTS_MAX;
use gleaner_worker::Config;
use serde_json::json;

use crate::commands::Context;
use crate::failure::Exit;
use crate::operands::{DataPlace, Reach, whole};
use crate::signals::StopRequests;

/// How to work.
#[derive(Debug, Args)]
pub struct Work {
    /// How many units to run at once [default: one for each CPU]
    #[arg(long, value_parser = whole(1, SLOTS_MAX))]
    pub slots: Option<u32>,
    /// The port for peers, UDP and TCP [default: any free one]
    #[arg(long, value_parser = whole(0, u16::MAX))]
    pub port: Option<u16>,
    #[command(flatten)]
    pub reach: Reach,
    #[command(flatten)]
    pub place: DataPlace,
}

impl Work {
    /// The worker's settings.
    pub fn config(&self, context: &Context) -> Config {
        let mut config = Config::new(context.worker_data(), &context.program);
        config.slots = self.slots.unwrap_or(config.slots);
        config.port = self.port.unwrap_or(config.port);
        config.mdns = !(self.reach.no_mdns || self.reach.loopback);
        config.loopback_only = self.reach.loopback;
        config.network_folders = self.place.network_folders();
        config.within_disk()
    }
}

/// Works for the projects that were joined until it is asked to stop, or nobody wants it.
pub async fn work(context: &Context, config: Config) -> Result<Exit> {
    let mut stop = StopRequests::listen()?;
    let slots = config.slots;
    let mut worker = gleaner_worker::start(config).await?;
    introduce(context, slots)?;
    let ended = tokio::select! {
        ended = worker.stopped() => ended,
        asked = stop.next() => {
            asked?;
            context.printer.note("stopping; once more ends it at once");
            stop.or_at_once(worker.stop()).await;
            return Ok(Exit::Done);
        }
    };
    ended?;
    Ok(Exit::Done)
}

fn introduce(context: &Context, slots: u32) -> Result<()> {
    let data = context.worker_data();
    let projects = gleaner_worker::projects(&data)?;
    let names: Vec<_> = projects.iter().map(|project| project.name.clone()).collect();
    let value = json!({ "slots": slots, "data": data.display().to_string(), "projects": names });
    context.printer.result(&value, || {
        vec![
            format!("working for  {}", names.join(", ")),
            format!("slots        {slots}"),
            format!("data         {}", data.display()),
            "Ctrl-C stops it; what it has computed is kept".into(),
        ]
    })?;
    Ok(())
}

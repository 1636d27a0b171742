//! A crowd that comes at one moment is served, and nobody refused.

#![cfg(target_os = "linux")]

use anyhow::{Context, Result, ensure};
use end_to_end::{Gleaner, JobFolder, Swarm};
use futures::stream::{FuturesUnordered, TryStreamExt};
use gleaner_bench::{StandIn, ticket_for_all};

/// Each of them makes two handshakes at once, over QUIC and TCP.
const WORKERS: usize = 300;

/// A coordinator that may have few files open unless it asks for more.
const WITH_FEW_FILES: [&str; 3] = ["sh", "-c", r#"ulimit -Sn 128; exec "$0" "$@""#];

#[test]
fn workers_that_come_all_at_once_are_all_served() -> Result<()> {
    let swarm = Swarm::start(&Gleaner::find()?.behind(&WITH_FEW_FILES))?;
    let limit = open_files_max(swarm.coordinator().id())?;
    ensure!(limit > WORKERS as u64, "the coordinator may have no more than {limit} files open");
    swarm.submit(&JobFolder::noops(4 * WORKERS as u64)?.manifest())?;
    let ticket = ticket_for_all(&swarm)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let workers = (0..WORKERS).map(|_| StandIn::new(&ticket)).collect::<Result<Vec<_>>>()?;
        let served = workers.iter().map(take_and_answer).collect::<FuturesUnordered<_>>();
        served.try_collect::<()>().await
    })?;
    swarm.discard();
    Ok(())
}

async fn take_and_answer(worker: &StandIn) -> Result<()> {
    let mut session = worker.connect().await?;
    session.ask(1).await?;
    let leases = session.leases().await?;
    session.answer(leases).await
}

fn open_files_max(process: u32) -> Result<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits"))?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).context("no such limit")?;
    Ok(soft.parse()?)
}

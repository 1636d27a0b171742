//! How soon a coordinator that was killed hands out its first lease:
//! `cargo bench -p gleaner-bench --bench restart -- PROGRAM UNITS`.
//!
//! A job of so many units is computed by stand-in workers; before its end the coordinator is killed
//! and started again, and a worker that asked all along gets a lease. Prints JSON.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use end_to_end::{JobFolder, Swarm};
use gleaner_bench::{Arguments, StandIn, connect_all, ticket_for_all};
use serde_json::json;

const WORKERS: usize = 8;
const HELD: u32 = 1024;

/// Units that are left when it is killed: more than come back while nobody looks, so that some were
/// never handed out and need not wait for their holders.
const LEFT: u64 = 300_000;

/// How often a worker calls that finds nobody.
const CALL_EVERY: Duration = Duration::from_millis(20);

fn main() -> Result<()> {
    let Some(Arguments { gleaner, count: units }) = Arguments::read()? else { return Ok(()) };
    let runtime = tokio::runtime::Runtime::new()?;
    let _inside = runtime.enter();
    let mut swarm = Swarm::start(&gleaner)?;
    let ticket = ticket_for_all(&swarm)?;
    let job = swarm.submit(&JobFolder::noops(units + LEFT)?.manifest())?;
    let workers = (0..WORKERS).map(|_| StandIn::new(&ticket)).collect::<Result<Vec<_>>>()?;
    for session in runtime.block_on(connect_all(&workers, WORKERS))? {
        runtime.spawn(session.work(HELD));
    }
    wait_for_settled(&swarm, &job, units)?;
    swarm.kill_coordinator()?;

    let start = Instant::now();
    let asking = runtime.spawn(first_lease(StandIn::new(&ticket)?));
    swarm.start_coordinator()?;
    let answering = start.elapsed().as_secs_f64();
    runtime.block_on(asking)??;
    let leased = start.elapsed().as_secs_f64();
    let peak = swarm.coordinator().memory_bytes_peak().context("no memory is told")?;
    swarm.discard();
    println!(
        "{}",
        json!({
            "units": units,
            "answer_seconds": answering,
            "lease_seconds": leased,
            "mebibytes_peak": peak as f64 / f64::from(1 << 20),
        })
    );
    Ok(())
}

/// Calls until it has a lease.
async fn first_lease(worker: StandIn) -> Result<()> {
    loop {
        let Ok(mut session) = worker.connect().await else {
            tokio::time::sleep(CALL_EVERY).await;
            continue;
        };
        session.ask(1).await?;
        session.leases().await?;
        return Ok(());
    }
}

/// As a large job takes longer than tests wait, progress is what is waited for.
fn wait_for_settled(swarm: &Swarm, job: &str, units: u64) -> Result<()> {
    let mut told = Instant::now();
    loop {
        let status = swarm.status(job)?;
        let settled = status["stages"][0]["items_settled"].as_u64().unwrap_or(0);
        anyhow::ensure!(status["state"] == "running", "the job ended too early: {status}");
        if settled >= units {
            return Ok(());
        }
        if told.elapsed() > Duration::from_secs(5) {
            told = Instant::now();
            eprintln!("  {settled} of {units} units settled");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

//! What a coordinator takes when its workers cost nothing:
//! `cargo bench -p gleaner-bench --bench throughput -- PROGRAM UNITS`.
//!
//! Real libp2p over loopback, real SQLite, every result durable before it is acknowledged; only the
//! workers stand in, in this process. Prints JSON.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use end_to_end::{JobFolder, Swarm};
use gleaner_bench::{Arguments, StandIn, connect_all, ticket_for_all};
use serde_json::json;

const WORKERS: usize = 8;

/// Units that a worker asks for at a time.
const HELD: u32 = 1024;

fn main() -> Result<()> {
    let Some(Arguments { gleaner, count: units }) = Arguments::read()? else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let swarm = Swarm::start(&gleaner)?;
    let ticket = ticket_for_all(&swarm)?;
    let many = JobFolder::noops(units)?;
    let before = swarm.coordinator().cpu_seconds().context("no CPU time is told")?;
    let start = Instant::now();
    let working = std::thread::spawn(move || -> Result<()> {
        runtime.block_on(async {
            let workers = (0..WORKERS).map(|_| StandIn::new(&ticket));
            let workers = workers.collect::<Result<Vec<_>>>()?;
            let sessions = connect_all(&workers, WORKERS).await?;
            let working = sessions.into_iter().map(|session| session.work(HELD));
            futures::future::try_join_all(working).await?;
            Ok(())
        })
    });
    let end = swarm.see_through(&many.manifest())?.1;
    let seconds = start.elapsed().as_secs_f64();
    let after = swarm.coordinator().cpu_seconds().context("no CPU time is told")?;
    let mebibytes = swarm.coordinator().memory_bytes_peak().context("no memory is told")?;
    ensure!(end["state"] == "done", "the job ended as {end}");
    swarm.stop()?;
    working.join().expect("the workers do not panic")?;
    println!(
        "{}",
        json!({
            "units_per_second": units as f64 / seconds,
            "coordinator_us_per_unit": 1e6 * (after - before) / units as f64,
            "coordinator_mebibytes": mebibytes as f64 / f64::from(1 << 20),
        })
    );
    Ok(())
}

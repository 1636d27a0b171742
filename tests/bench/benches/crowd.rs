//! A crowd of workers that do nothing, and that come back all at once:
//! `cargo bench -p gleaner-bench --bench crowd -- PROGRAM WORKERS`.
//!
//! First connections with a stream on which nothing is said, then sessions over them, tell what a
//! worker costs beyond its transport.
//! Then the coordinator is watched at rest. Then it is killed and started again; once all have
//! noticed, they come back at one moment, which is worse than the pauses of real workers make it.
//! Each is served once it has a lease. Prints JSON.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use end_to_end::{JobFolder, Swarm, wait_until};
use futures::stream::{self, FuturesUnordered, StreamExt, TryStreamExt};
use gleaner_bench::{Arguments, Session, StandIn, connect_all, ticket_for_all};
use gleaner_network::Backoff;
use serde_json::json;

/// How long the coordinator is watched at rest.
const REST: Duration = Duration::from_secs(10);

/// Between what is counted and what it is counted after, so that nothing of that is left to do.
const SETTLED: Duration = Duration::from_secs(2);

/// How many come at a time before they come back all at once.
const AT_ONCE: usize = 64;

const ARRIVAL_MAX: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let Some(Arguments { gleaner, count }) = Arguments::read()? else { return Ok(()) };
    let runtime = tokio::runtime::Runtime::new()?;
    let _inside = runtime.enter();
    let mut swarm = Swarm::start(&gleaner)?;
    let ticket = ticket_for_all(&swarm)?;
    let mut workers = (0..count).map(|_| StandIn::new(&ticket)).collect::<Result<Vec<_>>>()?;

    let empty = memory(&swarm)?;
    let start = Instant::now();
    let silent = stream::iter(&workers).map(StandIn::call).buffer_unordered(AT_ONCE);
    let silent: Vec<_> = runtime.block_on(silent.try_collect())?;
    let connect_seconds = start.elapsed().as_secs_f64();
    std::thread::sleep(SETTLED);
    let connected = memory(&swarm)?;
    drop(silent);
    let sessions = runtime.block_on(connect_all(&workers, AT_ONCE))?;
    let arrived = || Ok((swarm.connected_workers()? == workers.len()).then_some(()));
    wait_until("all workers", ARRIVAL_MAX, arrived)?;
    let sessions = runtime.block_on(ask_all(sessions))?;
    std::thread::sleep(SETTLED);
    let served = memory(&swarm)?;
    let idle_share = share_at_rest(&swarm)?;

    let job = JobFolder::noops(4 * count)?;
    swarm.kill_coordinator()?;
    drop(sessions);
    let noticed = workers.iter_mut().map(StandIn::renew).collect::<FuturesUnordered<_>>();
    runtime.block_on(noticed.try_collect::<()>())?;
    swarm.start_coordinator()?;
    swarm.submit(&job.manifest())?;
    let start = Instant::now();
    let back = workers.iter().enumerate().map(come_back).collect::<FuturesUnordered<_>>();
    let back: Vec<Return> = runtime.block_on(back.try_collect())?;
    let all = start.elapsed().as_secs_f64();
    let mut seconds: Vec<f64> = back.iter().map(|back| back.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let failed: u32 = back.iter().map(|back| back.failed).sum();
    let peak = swarm.coordinator().memory_bytes_peak().context("no memory is told")?;
    swarm.discard();

    let each = |bytes: u64, before: u64| bytes.saturating_sub(before) as f64 / count as f64;
    println!(
        "{}",
        json!({
            "workers": count,
            "connect_seconds": connect_seconds,
            "connection_bytes": each(connected, empty),
            "session_bytes": each(served, connected),
            "idle_core_percent": 100.0 * idle_share,
            "back_seconds": all,
            "back_seconds_median": seconds[seconds.len() / 2],
            "back_calls_failed": failed,
            "back_mebibytes_peak": peak as f64 / f64::from(1 << 20),
        })
    );
    Ok(())
}

/// How one came back.
struct Return {
    seconds: f64,
    /// Calls that failed before.
    failed: u32,
}

/// Connects, gets a lease and answers it; calls again after a pause, as workers do, when that fails.
async fn come_back((number, worker): (usize, &StandIn)) -> Result<Return> {
    let start = Instant::now();
    let mut backoff = Backoff::new(number as u64);
    let mut failed = 0;
    loop {
        match take_and_answer(worker).await {
            Ok(served) => {
                let seconds = served.duration_since(start).as_secs_f64();
                return Ok(Return { seconds, failed });
            }
            Err(_) if start.elapsed() < ARRIVAL_MAX => failed += 1,
            Err(error) => return Err(error),
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// Gives when it had its lease.
async fn take_and_answer(worker: &StandIn) -> Result<Instant> {
    let mut session = worker.connect().await?;
    session.ask(1).await?;
    let leases = session.leases().await?;
    let served = Instant::now();
    session.answer(leases).await?;
    Ok(served)
}

async fn ask_all(mut sessions: Vec<Session>) -> Result<Vec<Session>> {
    for session in &mut sessions {
        session.ask(1).await?;
    }
    Ok(sessions)
}

/// The share of one core that the coordinator takes while nothing happens.
fn share_at_rest(swarm: &Swarm) -> Result<f64> {
    let before = swarm.coordinator().cpu_seconds().context("no CPU time is told")?;
    let start = Instant::now();
    std::thread::sleep(REST);
    let after = swarm.coordinator().cpu_seconds().context("no CPU time is told")?;
    Ok((after - before) / start.elapsed().as_secs_f64())
}

fn memory(swarm: &Swarm) -> Result<u64> {
    swarm.coordinator().memory_bytes().context("no memory is told")
}

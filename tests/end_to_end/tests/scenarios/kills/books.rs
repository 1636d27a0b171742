//! The coordinator's books, read beside it as it runs: what was promised must stand in them.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use end_to_end::Swarm;
use rusqlite::{Connection, OpenFlags};

fn open(swarm: &Swarm) -> Result<Connection> {
    let file = swarm.coordinator_folder().join("store.sqlite");
    Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("cannot open {}", file.display()))
}

/// Every attempt that a worker was told is safe is in the store, once, or not needed: one of those
/// made of a unit that was late may answer after the unit was settled without it. Of `removed` jobs
/// nothing is expected.
pub fn check_acknowledged(swarm: &Swarm, removed: &[String]) -> Result<()> {
    let removed: Vec<_> = removed.iter().map(|job| job.replace("job-", "attempt-") + ".").collect();
    let mut told = swarm.acknowledged();
    told.retain(|attempt| !removed.iter().any(|job| attempt.starts_with(job)));
    let store = open(swarm)?;
    let mut query = store.prepare(
        "SELECT 'attempt-' || job || '.' || unit || '.' || attempt FROM \
         (SELECT job, unit, attempt FROM opinion UNION ALL \
          SELECT job, unit, attempt FROM inconclusive)",
    )?;
    let rows = query.query_map([], |row| row.get::<_, String>(0))?;
    let kept = rows.collect::<Result<Vec<_>, _>>()?;
    let once: BTreeSet<&str> = kept.iter().map(String::as_str).collect();
    ensure!(once.len() == kept.len(), "an attempt is in the store twice");
    let mut query = store.prepare("SELECT 'attempt-' || job || '.' || unit || '.' FROM settled")?;
    let rows = query.query_map([], |row| row.get::<_, String>(0))?;
    let settled = rows.collect::<Result<BTreeSet<_>, _>>()?;
    let is_settled = |attempt: &str| {
        let unit = attempt.rfind('.').map(|end| &attempt[..=end]);
        unit.is_some_and(|unit| settled.contains(unit))
    };
    let is_lost = |told: &&String| !once.contains(told.as_str()) && !is_settled(told);
    let lost: BTreeSet<_> = told.iter().filter(is_lost).collect();
    ensure!(lost.is_empty(), "acknowledged, and not in the store: {lost:?}");
    Ok(())
}

/// Each stage's settled units follow each other without a gap, and its sums are theirs.
pub fn check_settled(swarm: &Swarm, job: &str) -> Result<()> {
    let number: i64 = job.strip_prefix("job-").context("a job's id")?.parse()?;
    let store = open(swarm)?;
    let mut stages = store.prepare(
        "SELECT stage, items, items_settled, units_settled, cpu_us FROM stage WHERE job = ?1",
    )?;
    let columns = |row: &rusqlite::Row<'_>| -> rusqlite::Result<[i64; 5]> {
        Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])
    };
    let stages = stages.query_map([number], columns)?.collect::<Result<Vec<_>, _>>()?;
    ensure!(!stages.is_empty(), "{job} has no stages in the store");
    for [stage, items, items_settled, units_settled, cpu_us] in stages {
        let mut units = store.prepare(
            "SELECT items_start, items_end, cpu_us FROM settled JOIN opinion \
             USING (job, unit, attempt) WHERE job = ?1 AND stage = ?2 ORDER BY items_start",
        )?;
        let unit = |row: &rusqlite::Row<'_>| -> rusqlite::Result<(i64, i64, i64)> {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        };
        let units = units.query_map([number, stage], unit)?.collect::<Result<Vec<_>, _>>()?;
        let mut next = 0;
        for (start, end, _) in &units {
            ensure!(*start == next, "stage {stage} of {job}: items {next} to {start} are amiss");
            next = *end;
        }
        let cpu: i64 = units.iter().map(|(_, _, cpu)| cpu).sum();
        let found = (next, next, units.len() as i64, cpu);
        let kept = (items, items_settled, units_settled, cpu_us);
        ensure!(
            found == kept,
            "stage {stage} of {job}: units give {found:?}, the sums are {kept:?}"
        );
    }
    Ok(())
}

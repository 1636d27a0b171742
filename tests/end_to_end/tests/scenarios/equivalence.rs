//! The same bytes, whoever computes them.

use anyhow::{Result, ensure};
use end_to_end::{Gleaner, JobFolder, Swarm};

#[test]
fn one_machine_one_worker_and_three_give_the_same_bytes() -> Result<()> {
    let folder = JobFolder::planets(24, "\"auto\"")?;
    let alone = Gleaner::find()?.run(&folder.manifest())?;
    ensure!(alone.keys().any(|name| name.ends_with("periodogram.png")), "{:?}", alone.keys());

    let one = Swarm::with_workers(&[1])?;
    ensure!(one.compute(&folder.manifest())? == alone, "one worker gives other bytes");
    one.stop()?;

    // Other units, too: how the items are cut must not show.
    let folder = JobFolder::planets(24, "1")?;
    let three = Swarm::with_workers(&[1, 1, 2])?;
    ensure!(three.compute(&folder.manifest())? == alone, "three workers give other bytes");
    three.stop()
}

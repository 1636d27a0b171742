//! The example job whose every answer is known.

use anyhow::{Context, Result, ensure};
use end_to_end::{JobFolder, Swarm};

/// The exponents of the Mersenne primes below 2^1300 (OEIS A000043).
const KNOWN: [u32; 15] = [2, 3, 5, 7, 13, 17, 19, 31, 61, 89, 107, 127, 521, 607, 1279];

#[test]
fn the_known_mersenne_primes_and_no_others_are_found() -> Result<()> {
    let folder = JobFolder::mersenne(1300)?;

    let swarm = Swarm::with_workers(&[2])?;
    let output = swarm.compute(&folder.manifest())?;
    swarm.stop()?;
    let csv = output.get("test/mersenne.csv").context("the stage has an output")?;
    let csv = String::from_utf8(csv.clone())?;
    let mut rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = rows.next().context("a table has a head")?;
    let column = |name: &str| head.iter().position(|head| *head == name).context("a column");
    let (exponent, prime, residue) = (column("exponent")?, column("prime")?, column("residue")?);
    let mut found = Vec::new();
    for row in rows {
        ensure!((row[residue] == "0000000000000000") == (row[prime] == "true"), "{row:?}");
        if row[prime] == "true" {
            found.push(row[exponent].parse::<u32>()?);
        }
    }
    ensure!(found == KNOWN, "{found:?}");
    Ok(())
}

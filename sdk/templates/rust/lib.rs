//! π by throwing points at a square: how many of them lie within its inscribed circle?
//!
//! An example to replace by your own. A task is a function over [serde](https://serde.rs) types;
//! what else it can take and give is in `vendor/gleaner-sdk/README.md`.

use gleaner_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// An item: `batch` is its number, from the manifest's `range`; `points` is one of the
/// manifest's `[stage.parameters]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throw {
    pub batch: u64,
    pub points: u64,
}

/// What an item gives, and what two of them are merged into.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Hits {
    pub inside: u64,
    pub thrown: u64,
}

/// Throws points at random and counts those within the circle.
///
/// # Errors
/// When there are no points to throw. The words of an error reach whoever submitted the job.
#[task]
pub fn throw(input: Throw, context: &Context) -> Result<Hits, Error> {
    if input.points == 0 {
        return Err(Error::new(format!("batch {}: no points to throw", input.batch)));
    }
    // The same numbers on every machine: they start from the item's seed, drawn from the job's.
    let mut rng = context.rng();
    let mut coordinate = || f64::from(rng.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0;
    let mut inside = 0;
    for point in 0..input.points {
        let (x, y) = (coordinate(), coordinate());
        inside += u64::from(x * x + y * y <= 1.0);
        if point % 65_536 == 0 {
            context.progress(point as f64 / input.points as f64);
        }
    }
    Ok(Hits { inside, thrown: input.points })
}

/// Combines the outputs of two neighbours, until one value is left: the job's output.
#[merge]
pub fn add(a: Hits, b: Hits) -> Hits {
    Hits { inside: a.inside + b.inside, thrown: a.thrown + b.thrown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_near_pi() {
        let context = Context::for_test().with_seed(7);
        let hits = throw(Throw { batch: 0, points: 100_000 }, &context).unwrap();
        let pi = 4.0 * hits.inside as f64 / hits.thrown as f64;
        // Five standard deviations of 100,000 throws.
        assert!((pi - std::f64::consts::PI).abs() < 0.026, "{pi}");
    }

    #[test]
    fn no_points_are_refused_in_words() {
        let error = throw(Throw { batch: 3, points: 0 }, &Context::for_test()).unwrap_err();
        assert_eq!(error.to_string(), "batch 3: no points to throw");
    }

    #[test]
    fn hits_add_up() {
        let sum = add(Hits { inside: 3, thrown: 4 }, Hits { inside: 1, thrown: 2 });
        assert_eq!(sum, Hits { inside: 4, thrown: 6 });
    }
}

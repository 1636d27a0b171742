//! Seeds of items: the same for whoever computes an item, however units are cut.

use crate::StageIndex;

/// The seed of item `item` of stage `stage` in a job with the seed `job_seed`.
///
/// BLAKE3 in key-derivation mode over the three numbers (little-endian), so that neighbouring
/// items get unrelated seeds.
pub fn item_seed(job_seed: u64, stage: StageIndex, item: u64) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("gleaner 2026 item seed v1");
    hasher.update(&job_seed.to_le_bytes());
    hasher.update(&stage.0.to_le_bytes());
    hasher.update(&item.to_le_bytes());
    let mut seed = [0; 8];
    hasher.finalize_xof().fill(&mut seed);
    u64::from_le_bytes(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_fixed_for_all_time() {
        let first = item_seed(1, StageIndex(0), 0);
        assert_eq!(first, item_seed(1, StageIndex(0), 0));
        assert_ne!(first, item_seed(1, StageIndex(0), 1));
        assert_ne!(first, item_seed(1, StageIndex(1), 0));
        assert_ne!(first, item_seed(2, StageIndex(0), 0));
    }
}

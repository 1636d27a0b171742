//! What a task may know and say besides its input.

use std::collections::BTreeMap;

use crate::rand_core::SeedableRng;
use crate::{Error, host};

/// The generator that [`Context::rng`] gives.
pub type Rng = rand_chacha::ChaCha8Rng;

/// What a task may know and say besides its input: the item's number and seed, the stage's shared
/// files, and its progress.
///
/// A slot makes one for each item. In native tests [`Context::for_test`] does, and the `with_…`
/// methods fill it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    item: u64,
    seed: u64,
    /// Files given by a test; a slot's are read from the host when asked for.
    files: BTreeMap<String, Vec<u8>>,
}

impl Context {
    /// A context for native tests: item 0, seed 0, no files; progress goes nowhere.
    pub fn for_test() -> Self {
        Self::default()
    }

    /// The same context with this item's number.
    #[must_use]
    pub fn with_item(self, item: u64) -> Self {
        Self { item, ..self }
    }

    /// The same context with this seed.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The same context with the shared file `name`.
    #[must_use]
    pub fn with_file(mut self, name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(name.into(), content.into());
        self
    }

    /// The item's number within its stage, from 0.
    pub fn item(&self) -> u64 {
        self.item
    }

    /// The item's seed, drawn from the job's: the same for whoever computes the item.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A random number generator (ChaCha with 8 rounds) that starts from the item's seed: the same
    /// numbers on every machine. Each call starts again from the seed, so take one and pass it on.
    ///
    /// The key is the seed in little-endian order followed by zeros; this never changes within an
    /// interface version. The crates `rand` and `rand_distr` build on it.
    pub fn rng(&self) -> Rng {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        Rng::from_seed(key)
    }

    /// The whole content of a file that the manifest shares among the stage's items, by its name
    /// under `[stage.files]`.
    ///
    /// # Errors
    /// When the stage shares no file of this name.
    pub fn file(&self, name: &str) -> Result<Vec<u8>, Error> {
        self.files.get(name).cloned().or_else(|| host::shared_file(name)).ok_or_else(|| {
            Error::new(format_args!(
                "there is no shared file `{name}`: name it under [stage.files] of the manifest"
            ))
        })
    }

    /// Says that this much of the item is done, from 0 to 1. Shown to people, never part of a
    /// result; cheap enough for a call every few milliseconds of work.
    pub fn progress(&self, fraction: f64) {
        host::progress(fraction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rand_core::Rng as _;

    #[test]
    fn a_test_context_holds_what_it_was_given() {
        let context =
            Context::for_test().with_item(3).with_seed(9).with_file("star", b"1,2".to_vec());
        assert_eq!((context.item(), context.seed()), (3, 9));
        assert_eq!(context.file("star"), Ok(b"1,2".to_vec()));
        let error = context.file("sun").expect_err("no such file");
        assert!(error.to_string().contains("`sun`"), "{error}");
    }

    #[test]
    fn the_generator_gives_the_same_numbers_for_all_time() {
        let mut rng = Context::for_test().with_seed(164_922).rng();
        assert_eq!(
            [rng.next_u64(), rng.next_u64()],
            [10_255_356_882_073_447_692, 17_914_286_195_843_936_344]
        );
    }
}

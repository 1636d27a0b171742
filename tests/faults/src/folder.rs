//! A folder's names: as its readers see them, and as they would be after a power cut.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use end_to_end::Draw;

/// The names in one folder, each with the number of what it names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    now: BTreeMap<OsString, u64>,
    durable: BTreeMap<OsString, u64>,
    /// What makes `now` of `durable`, in order; each is done whole or not at all.
    pending: Vec<Change>,
}

/// What names mean from then on; nothing for those that are gone.
type Change = Vec<(OsString, Option<u64>)>;

impl Names {
    pub(crate) fn find(&self, name: &OsStr) -> Option<u64> {
        self.now.get(name).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&OsStr, u64)> {
        self.now.iter().map(|(name, number)| (name.as_os_str(), *number))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.now.is_empty()
    }

    pub(crate) fn change(&mut self, change: Change) {
        apply(&mut self.now, &change);
        self.pending.push(change);
    }

    pub(crate) fn sync(&mut self) {
        self.durable.clone_from(&self.now);
        self.pending.clear();
    }

    /// What is on the disk after a power cut: of what was not synced each change is there or not,
    /// by the draw; none is without one.
    pub(crate) fn after_power_cut(self, survivors: Option<&mut Draw>) -> Self {
        let Self { mut durable, pending, .. } = self;
        if let Some(draw) = survivors {
            for change in pending {
                if draw.below(2) == 0 {
                    apply(&mut durable, &change);
                }
            }
        }
        Self { now: durable.clone(), durable, pending: Vec::new() }
    }
}

fn apply(names: &mut BTreeMap<OsString, u64>, change: &Change) {
    for (name, number) in change {
        match number {
            Some(number) => names.insert(name.clone(), *number),
            None => names.remove(name),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, number: u64) -> (OsString, Option<u64>) {
        (name.into(), Some(number))
    }

    #[test]
    fn a_name_is_durable_once_its_folder_is_synced() {
        let mut names = Names::default();
        names.change(vec![set("a", 1)]);
        assert!(names.clone().after_power_cut(None).is_empty());
        names.sync();
        names.change(vec![("a".into(), None), set("b", 1)]);
        assert_eq!(names.find(OsStr::new("a")), None);
        let after = names.clone().after_power_cut(None);
        assert_eq!(after.iter().collect::<Vec<_>>(), [(OsStr::new("a"), 1)]);
        for seed in 0..16 {
            let after = names.clone().after_power_cut(Some(&mut Draw::of_seed(seed)));
            assert_eq!(after.iter().count(), 1, "a rename is done whole or not at all");
        }
    }
}

//! Ordered sets that say where things stand, kept with each change.

use std::collections::BTreeSet;

/// Moves an entry from one place to another; `None` is nowhere.
pub(crate) fn refile<T: Ord>(file: &mut BTreeSet<T>, before: Option<T>, after: Option<T>) {
    if before == after {
        return;
    }
    if let Some(before) = before {
        file.remove(&before);
    }
    if let Some(after) = after {
        file.insert(after);
    }
}

//! Why something is as it is.

use serde::{Deserialize, Serialize};

/// Why a job, a unit or a worker is as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyView {
    /// For people, in the order of reading; never empty.
    pub sentences: Vec<String>,
}

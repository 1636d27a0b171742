//! Single promises of the store and the blobs, each at the step that it depends on.

use anyhow::{Context, Result};
use fault_tests::{Disk, Lab, Loss};

pub fn a_project_is_there_once_init_has_said_so() -> Result<()> {
    let compiled = tempfile::tempdir()?;
    let mut lab = Lab::new(Disk::new(None), Loss::All, compiled.path())?;
    lab.tell_operator(&["coordinator", "init", "--allow-network-folder"])?;
    lab.cut_power()?;
    lab.start_coordinator().with_context(|| lab.log_tail())?;
    lab.stop_coordinator()
}

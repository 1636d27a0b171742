//! The port of the last start, remembered in the coordinator's folder: tickets name it, so a
//! restart must not change it.

use std::path::Path;

use tracing::warn;

use crate::files::write_atomically;

pub(crate) const FILE: &str = "port";

/// The port of the last start, if there was one.
pub(crate) fn remembered(data: &Path) -> Option<u16> {
    let text = std::fs::read_to_string(data.join(FILE)).ok()?;
    let port = text.trim().parse().ok();
    if port.is_none() {
        warn!(file = ?data.join(FILE), "this file should hold a port and does not");
    }
    port
}

/// Remembers `port`. Without it the next start takes the default port again, which is worth a
/// warning and no more.
pub(crate) fn remember(data: &Path, port: u16) {
    if remembered(data) == Some(port) {
        return;
    }
    if let Err(error) = write_atomically(&data.join(FILE), format!("{port}\n").as_bytes()) {
        warn!(%error, port, "the port is not remembered for the next start");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_port_is_remembered() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(remembered(folder.path()), None);
        remember(folder.path(), 4747);
        remember(folder.path(), 5000);
        assert_eq!(remembered(folder.path()), Some(5000));
        std::fs::write(folder.path().join(FILE), "x").expect("written");
        assert_eq!(remembered(folder.path()), None);
    }
}

//! Ctrl-C, noticed between two steps, so that every process is cleaned up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use signal_hook::consts::TERM_SIGNALS;
use signal_hook::flag;

/// Whether this program was asked to end.
pub struct Interrupt {
    asked: Arc<AtomicBool>,
}

impl Interrupt {
    /// Watches for Ctrl-C and its kin. The second one ends this program at once.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn watch() -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for &signal in TERM_SIGNALS {
            // In this order: the first signal finds the flag unset, and sets it.
            flag::register_conditional_shutdown(signal, 1, Arc::clone(&asked))
                .and_then(|_| flag::register(signal, Arc::clone(&asked)))
                .context("cannot watch for signals")?;
        }
        Ok(Self { asked })
    }

    /// Fails once this program was asked to end.
    ///
    /// # Errors
    /// Then.
    pub fn check(&self) -> Result<()> {
        if self.asked.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }
}

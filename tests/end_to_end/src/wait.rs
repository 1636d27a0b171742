//! Waiting for things: a condition polled until it holds.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What `condition` gives, once it gives something.
///
/// # Errors
/// The condition's own, at once; or, after `limit`, that `what` did not happen.
pub fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if start.elapsed() > limit {
            bail!("{what} did not happen within {} s", limit.as_secs());
        }
        thread::sleep(POLL_INTERVAL);
    }
}

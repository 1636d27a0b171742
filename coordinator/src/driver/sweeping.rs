//! The task that sweeps beside the work: what a removed job left at once, and everything now and
//! then. A full disk is waited out.

use std::sync::Arc;
use std::time::Duration;

use gleaner_protocol::BlobRef;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::submitters::Submitters;
use crate::sweep::Sweep;

/// Between two walks over all blobs; also how long what could not be swept waits.
const WALK_EVERY: Duration = Duration::from_secs(60 * 60);

/// The task that sweeps.
pub(crate) struct Sweeper {
    pub(crate) sweep: Sweep,
    pub(crate) submitters: Arc<Submitters>,
    /// Told when a job was removed.
    pub(crate) removed: Arc<Notify>,
}

impl Sweeper {
    /// Until `stop` is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        // The first walk comes at once: what is old enough to go is told by the files' own age.
        let mut walks = interval_at(Instant::now(), WALK_EVERY);
        walks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let submitters = self.submitters;
        let mut forget = move |removed: &[BlobRef]| submitters.forget(removed);
        loop {
            let swept = tokio::select! {
                () = stop.cancelled() => return,
                () = self.removed.notified() => self.sweep.removed_jobs(&mut forget).await,
                _ = walks.tick() => self.sweep.all(&mut forget).await,
            };
            if let Err(error) = swept {
                warn!(%error, "what is left of removed jobs waits for the next sweep");
            }
        }
    }
}

//! What the commands share that work on the coordinator's folder itself, for long.

use anyhow::{Context as _, Result};
use gleaner_coordinator::upkeep::{Progress, Step};
use tokio::sync::oneshot;

use crate::commands::Context;
use crate::failure::Interrupted;
use crate::printer::{Gauge, Measure};
use crate::signals::unless_interrupted;

/// Runs `work` on a thread of its own and shows how far it is. Interrupted, it is left where it is,
/// as by a crash: it ends with the program.
pub async fn at_work<T: Send + 'static>(
    context: &Context,
    work: impl FnOnce(&mut (dyn FnMut(Progress) + Send)) -> Result<T> + Send + 'static,
    interrupted: impl FnOnce() -> Interrupted,
) -> Result<T> {
    let (sender, ended) = oneshot::channel();
    let mut gauge = context.printer.gauge();
    let worked = move || {
        let result = work(&mut |progress| show(&mut gauge, progress));
        gauge.finish();
        // Who was interrupted does not wait for it.
        let _ = sender.send(result);
    };
    let thread = std::thread::Builder::new().name("upkeep".to_owned());
    thread.spawn(worked).context("cannot start a thread")?;
    let ended = async { ended.await.context("the work ended without a word")? };
    unless_interrupted(ended, interrupted).await
}

fn show(gauge: &mut Gauge, progress: Progress) {
    let (label, measure) = match progress.step {
        Step::Store => ("the store's file", Measure::Unknown),
        Step::Answers => ("answers", Measure::Things),
        Step::Blobs => ("blobs", Measure::Bytes),
        Step::Removal => ("files removed", Measure::Things),
        Step::Compaction => ("the store written anew", Measure::Unknown),
    };
    gauge.show(label, measure, progress.done, progress.of);
}

//! What whoever is told gets: JSON for an address, variables for a command.

use gleaner_coordinator_core::Occasion;
use gleaner_protocol::JobId;
use serde::Serialize;

use crate::driver::rfc3339;
use crate::store::StoredNotice;

/// The facts, under the names that docs/manifest.md gives them.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    event: &'static str,
    state: &'static str,
    job: JobId,
    name: &'a str,
    project: &'a str,
    items: u64,
    items_failed: u64,
    at: String,
    text: &'a str,
}

impl<'a> Message<'a> {
    pub(super) fn new(stored: &'a StoredNotice, project: &'a str) -> Self {
        let notice = &stored.notice;
        let (event, state) = match notice.occasion {
            Occasion::Done => ("done", "done"),
            Occasion::Failed => ("done", "failed"),
            Occasion::Cancelled => ("done", "cancelled"),
            Occasion::Stalled => ("stall", "running"),
        };
        Self {
            event,
            state,
            job: stored.job,
            name: &notice.name,
            project,
            items: notice.items,
            items_failed: notice.items_failed,
            at: rfc3339(notice.at),
            text: &notice.text,
        }
    }

    pub(super) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }

    /// No variable can hold a zero byte.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let text = |text: &str| text.replace('\0', "\u{fffd}");
        vec![
            ("GLEANER_EVENT", text(self.event)),
            ("GLEANER_STATE", text(self.state)),
            ("GLEANER_JOB", self.job.to_string()),
            ("GLEANER_NAME", text(self.name)),
            ("GLEANER_PROJECT", text(self.project)),
            ("GLEANER_ITEMS", self.items.to_string()),
            ("GLEANER_ITEMS_FAILED", self.items_failed.to_string()),
            ("GLEANER_AT", self.at.clone()),
            ("GLEANER_TEXT", text(self.text)),
        ]
    }
}

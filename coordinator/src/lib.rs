//! A coordinator: takes jobs, hands out their units, keeps and combines the results.
//!
//! The logic (jobs, leases, settlement) is `gleaner-coordinator-core`; this crate gives it a disk,
//! a network and a clock:
//! - [`store`]: what must survive, in SQLite;
//! - [`blobs`]: modules, inputs and large outputs by hash;
//! - [`split`]: items of a stage from its splitter;
//! - [`reduce`]: a stage's output from its settled results;
//! - `function`: a function of a task, called here in a slot;
//! - [`rehearsal`]: a job tried before it is submitted;
//! - [`http`]: the control API;
//! - `notify`: telling whoever a job names how it goes;
//! - `authorities`: whose certificates are believed;
//! - [`project`]: the project's key and record, invitations;
//! - `sweep`: what nobody uses taken off the disk;
//! - [`upkeep`]: a folder verified, backed up, restored, made smaller;
//! - `driver`: the running coordinator, in which one task owns the core.

mod authorities;
pub mod blobs;
mod driver;
mod files;
mod function;
pub mod http;
mod notify;
mod port;
pub mod project;
pub mod reduce;
pub mod rehearsal;
pub mod split;
pub mod store;
mod sweep;
pub mod upkeep;

pub use authorities::tls_of_this_machine;
pub use gleaner_folder::NetworkFolders;
pub use gleaner_network::{CONNECTIONS_MAX_DEFAULT, readable_address};

pub use driver::{
    API_PORT_DEFAULT, Config, Coordinator, RunError, StartError, SubmissionError, check_submission,
    start,
};
pub use function::CallError;
pub use project::{InitError, InitOptions, InitReport, SignError, init, sign};

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use gleaner_protocol::{
        BlobRef, Floats, JobSpec, Limits, OnFailure, Reducer, Splitter, StageSpec, StageTask,
        UnitSize, ValueMap,
    };

    /// A small job that passes every check.
    pub(crate) fn job_spec() -> JobSpec {
        let stage = StageSpec {
            name: "search".to_owned(),
            task: StageTask {
                module: BlobRef::of(b"module"),
                function: "run".to_owned(),
                parameters: ValueMap::new(),
                files: Vec::new(),
                limits: Limits::default(),
                seed: 7,
                floats: Floats::Plain,
                on_failure: OnFailure::Stop,
            },
            splitter: Splitter::Range { field: "n".to_owned(), start: 0, end: 10 },
            unit_size: UnitSize::Auto,
            unit_items_max: None,
            reducer: Reducer::Lines { file: "search.txt".parse().expect("a name") },
        };
        JobSpec {
            name: "planets".to_owned(),
            seed: 7,
            priority: 0,
            quorum: NonZeroU32::MIN,
            max_attempts: NonZeroU32::MIN,
            answers: gleaner_protocol::Answers::Kept,
            keep: None,
            notify: gleaner_protocol::Notify::default(),
            stages: vec![stage],
        }
    }
}

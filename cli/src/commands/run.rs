//! `gleaner run`: a coordinator and a worker of its own, for one job, in one process.
//!
//! The parts are the same as anywhere else, so the bytes are the same too. Their data is in a
//! temporary folder that goes with them, unless the output could not be put where it was wanted: then
//! the coordinator's stays, with all that was computed.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use gleaner_client::{Client, PreparedJob, new_submission_id};
use gleaner_coordinator::{Coordinator, InitOptions, NetworkFolders};
use gleaner_protocol::api::{InviteRequest, JobState};
use gleaner_protocol::limits::SLOTS_MAX;
use gleaner_protocol::{JobId, Ticket};
use gleaner_sandbox::Priority;
use gleaner_worker::Worker;
use tempfile::TempDir;

use super::prepare::{Source, prepare};
use super::results::{Extent, Overwrite, fetch, listing};
use super::watch::{exit, follow, tell_end};
use super::{Context, dry_run};
use crate::failure::{Exit, Hinted, Interrupted};
use crate::operands::whole;
use crate::output_folder::{Earlier, check_usable, entries};
use crate::printer::Form;
use crate::signals::StopRequests;

/// What `gleaner run` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub source: Source,
    /// Where to put the files [default: a folder NAME-output]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Put them into a folder that is not empty, and replace files that differ
    #[arg(long)]
    pub force: bool,
    /// Check everything, run a few items and say what would happen, but write no output
    #[arg(long)]
    pub dry_run: bool,
    /// How many units to run at once [default: one for each CPU]
    #[arg(long, value_parser = whole(1, SLOTS_MAX))]
    pub slots: Option<u32>,
}

/// The worker joins at once or never.
const TICKET_VALID: Duration = Duration::from_secs(60 * 60);

/// Runs a job here, and puts its output into a folder.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let prepared = prepare(context, &arguments.source)?;
    if arguments.dry_run {
        let usual = gleaner_worker::Config::new(PathBuf::new(), &context.program).slots;
        let slots = arguments.slots.unwrap_or(usual);
        return dry_run::run(context, &prepared, slots).await;
    }
    let folder =
        arguments.output.unwrap_or_else(|| PathBuf::from(format!("{}-output", prepared.spec.name)));
    let overwrite = if arguments.force { Overwrite::Allow } else { Overwrite::Refuse };
    // Computing for hours and then not being allowed to write would help nobody.
    let overwrite = refuse_occupied(&folder, overwrite)?;
    check_usable(&folder)?;
    let mut stop = StopRequests::listen()?;
    let data = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut swarm = Swarm::start(data.path(), &context.program, arguments.slots).await?;
    let step = Cell::new(Step::Computing);
    let place = Place { folder: &folder, overwrite, step: &step };
    let ended = tokio::select! {
        computed = compute(context, &swarm.client, &prepared, place) => {
            Ended::Computed(computed)
        }
        ended = swarm.coordinator.stopped() => Ended::Coordinator(ended.map_err(Into::into)),
        ended = swarm.worker.stopped() => Ended::Worker(ended.map_err(Into::into)),
        asked = stop.next() => Ended::Computed(asked.and_then(|()| {
            let line = format!("{} was interrupted", prepared.spec.name);
            Err(Interrupted::new(line, step.get().what_is_left(&folder)).into())
        })),
    };
    let Swarm { coordinator, worker, client: _ } = swarm;
    match ended {
        Ended::Computed(computed) => {
            let stopping = async {
                for failure in coordinator.notified().await {
                    context.printer.note(&format!("nobody was told of the job: {failure}"));
                }
                worker.stop().await;
                coordinator.stop().await;
            };
            stop.or_at_once(stopping).await;
            match (computed, step.get()) {
                (Err(error), Step::Writing(job)) if !error.is::<Interrupted>() => {
                    Err(kept(data, job, &folder, error))
                }
                (computed, _) => computed,
            }
        }
        Ended::Coordinator(ended) => {
            stop.or_at_once(worker.stop()).await;
            Err(too_early(ended, "coordinator"))
        }
        Ended::Worker(ended) => {
            stop.or_at_once(coordinator.stop()).await;
            Err(too_early(ended, "worker"))
        }
    }
}

/// Where the output goes, and how far it is.
#[derive(Clone, Copy)]
struct Place<'a> {
    folder: &'a Path,
    overwrite: Overwrite,
    step: &'a Cell<Step>,
}

/// What an interruption or a failure would cut short.
#[derive(Clone, Copy)]
enum Step {
    Computing,
    Writing(JobId),
    Telling,
}

impl Step {
    fn what_is_left(self, folder: &Path) -> String {
        match self {
            Self::Computing => "nothing was kept; run it again".into(),
            Self::Writing(_) => format!(
                "the files that are in {} are whole, but others are missing; run it again with \
                 --force",
                folder.display()
            ),
            Self::Telling => format!("its results are in {}", folder.display()),
        }
    }
}

/// Keeps what was computed and could not be put into `folder`, as `error` says, and tells how to
/// fetch it.
fn kept(data: TempDir, job: JobId, folder: &Path, error: anyhow::Error) -> anyhow::Error {
    let data = data.keep();
    // The worker has nothing that the coordinator has not; what cannot be removed stays.
    let _ = fs::remove_dir_all(data.join("worker"));
    let line = format!("{job} has ended, but its results cannot be put into {folder:?}");
    let data = data.display();
    let hint = format!(
        "they are kept in {data}: `gleaner coordinator start --data {data} --loopback` and, in \
         another terminal, `gleaner results {job} --data {data} -o DIR`; then remove that folder"
    );
    Hinted::new(line, hint).with_source(error).into()
}

/// What came to its end first.
enum Ended {
    /// The job, or the wish to compute it.
    Computed(Result<Exit>),
    /// The coordinator, which should have outlived the job.
    Coordinator(Result<()>),
    /// The worker, which should have outlived the job.
    Worker(Result<()>),
}

fn too_early(ended: Result<()>, part: &str) -> anyhow::Error {
    match ended {
        Ok(()) => anyhow::anyhow!("the {part} ended before the job"),
        Err(error) => error.context(format!("the {part} ended before the job")),
    }
}

/// What a job has for itself.
struct Swarm {
    coordinator: Coordinator,
    worker: Worker,
    client: Client,
}

impl Swarm {
    async fn start(data: &Path, program: &Path, slots: Option<u32>) -> Result<Self> {
        let coordinator_data = data.join("coordinator");
        let options = InitOptions {
            name: "run".into(),
            operator: "this user".into(),
            purpose: "one job on this machine".into(),
            // Its folder is its own, and goes with it.
            network_folders: NetworkFolders::Allow,
        };
        gleaner_coordinator::init(&coordinator_data, options)?;
        let mut config =
            gleaner_coordinator::Config::new(coordinator_data.clone(), program.to_owned());
        (config.port, config.api_port) = (Some(0), 0);
        config.network_folders = NetworkFolders::Allow;
        (config.mdns, config.loopback_only) = (false, true);
        let coordinator = gleaner_coordinator::start(config).await?;

        let client = Client::open(&coordinator_data)?;
        let valid_seconds = TICKET_VALID.as_secs();
        let request = InviteRequest { valid_seconds, uses_max: Some(1), note: String::new() };
        let ticket: Ticket = client.invite(&request).await?.ticket.parse()?;
        let worker_data = data.join("worker");
        gleaner_worker::join(&worker_data, &ticket)?;
        let mut config = gleaner_worker::Config::new(&worker_data, program);
        config.slots = slots.unwrap_or(config.slots);
        config.network_folders = NetworkFolders::Allow;
        (config.mdns, config.loopback_only) = (false, true);
        // Whoever runs a job here wants it done, and is not a guest on the machine.
        config.priority = Priority::Normal;
        let worker = gleaner_worker::start(config).await?;
        Ok(Self { coordinator, worker, client })
    }
}

async fn compute(
    context: &Context,
    client: &Client,
    prepared: &PreparedJob,
    place: Place<'_>,
) -> Result<Exit> {
    let Place { folder, overwrite, step } = place;
    let job = client.submit_prepared(prepared, new_submission_id()).await?;
    let view = follow(client, &context.printer, job).await?;
    step.set(Step::Writing(job));
    // The coordinator goes with what it knows: of a failure too, and of the stages done before it.
    let fetched = fetch(client, job, folder, overwrite, Extent::Whole).await?;
    step.set(Step::Telling);
    fetched.removed.iter().for_each(|line| context.printer.note(line));
    if view.state != JobState::Done {
        if context.printer.form() == Form::Text {
            context.printer.result(&fetched.files, || listing(&fetched.files))?;
        }
        return tell_end(&context.printer, &view, None);
    }
    if context.printer.form() == Form::Text {
        tell_end(&context.printer, &view, None)?;
    }
    context.printer.result(&fetched.files, || listing(&fetched.files))?;
    Ok(exit(&view))
}

/// What a run that failed has left may be replaced, as long as nothing else lies there.
fn refuse_occupied(folder: &Path, overwrite: Overwrite) -> Result<Overwrite> {
    if entries(folder)?.is_empty() || overwrite == Overwrite::Allow {
        return Ok(overwrite);
    }
    if let Some(earlier) = Earlier::of(folder)?
        && earlier.is_all_of_a_failure(folder)?
    {
        return Ok(Overwrite::Allow);
    }
    let line = format!("the folder {folder:?} is not empty");
    let hint = "choose another folder with -o DIR, or put the output into it with --force";
    Err(Hinted::new(line, hint.into()).into())
}

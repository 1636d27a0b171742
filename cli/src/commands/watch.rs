//! `gleaner watch`, and the following that `submit --wait` and `run` do.

use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use gleaner_client::{Client, ClientError};
use gleaner_protocol::JobId;
use gleaner_protocol::api::{JobState, JobView, WorkerView};
use tokio::sync::mpsc;

use super::Context;
use crate::failure::{Exit, Interrupted};
use crate::operands::Job;
use crate::page::{Page, Screen, Wish};
use crate::printer::{Form, PrintError, Printer};
use crate::signals::unless_interrupted;
use crate::words;

/// How long to wait for a change before asking anew.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a coordinator may be away, as when it is restarted, before following is given up.
const ABSENCE_MAX: Duration = Duration::from_secs(60);

/// Between two attempts to reach a coordinator that is away.
const ABSENCE_PAUSE: Duration = Duration::from_secs(1);

/// How often the page is drawn anew when nothing changes, so that the time goes on.
const TICK: Duration = Duration::from_millis(500);

/// Between two looks at the workers.
const WORKERS_PAUSE: Duration = Duration::from_secs(2);

/// The most drawings a second: a fast job changes thousands of times.
const CHANGE_PAUSE: Duration = Duration::from_millis(100);

/// Follows a job until it ends: on a page of its own on a terminal, by lines elsewhere.
pub async fn run(context: &Context, Job { job }: Job) -> Result<Exit> {
    let client = context.client()?;
    let job = context.job_id(&client, job).await?;
    let printer = &context.printer;
    let watched = async {
        match printer.form() {
            Form::Json => {
                follow_with(&client, job, |_, view| printer.result(view, Vec::new)).await.map(Some)
            }
            Form::Text if printer.has_terminal() => Box::pin(show_page(&client, job)).await,
            Form::Text => follow(&client, printer, job).await.map(Some),
        }
    };
    let Some(view) = unless_interrupted(watched, || goes_on(job)).await? else {
        printer.note(&format!("{job} goes on; see it again with `gleaner watch {job}`"));
        return Ok(Exit::Done);
    };
    match printer.form() {
        Form::Json => Ok(exit(&view)),
        Form::Text => conclude(printer, &view),
    }
}

/// What is said when a command that only looks on is interrupted.
pub fn goes_on(job: JobId) -> Interrupted {
    let hint =
        format!("see it again with `gleaner watch {job}`, or end it with `gleaner cancel {job}`");
    Interrupted::new(format!("interrupted; {job} goes on"), hint)
}

/// Shows the progress of `job` until it ends, and gives how.
pub async fn follow(client: &Client, printer: &Printer, job: JobId) -> Result<JobView> {
    let mut progress = printer.progress();
    let followed = follow_with(client, job, |note, view| {
        if let Some(note) = note {
            progress.note(printer, note);
        }
        progress.update(view);
        Ok(())
    })
    .await;
    progress.finish();
    followed
}

/// Shows `job` on the whole terminal until it ends, and gives how; none when the user has seen
/// enough.
async fn show_page(client: &Client, job: JobId) -> Result<Option<JobView>> {
    let mut page = Page::new(client.job(job).await?, Instant::now());
    let (changes, mut changed) = mpsc::unbounded_channel();
    let following = follow_with(client, job, |note, view| {
        // Whoever reads them goes when this future does.
        let _ = changes.send((note.map(str::to_owned), view.clone()));
        Ok(())
    });
    let mut following = pin!(following);
    let (present, mut presence) = mpsc::unbounded_channel();
    let mut looking = pin!(look_at_workers(client, present));
    let mut ticks = tokio::time::interval(TICK);
    let mut order: Option<Order<'_>> = None;
    let mut screen = Screen::open().context("the terminal cannot be drawn on")?;
    loop {
        screen.draw(&page).context("the terminal cannot be drawn on")?;
        tokio::select! {
            ended = &mut following => return ended.map(Some),
            Some((note, view)) = changed.recv() => {
                page.on_job(view, Instant::now());
                note.into_iter().for_each(|note| page.on_message(note));
            }
            Some(workers) = presence.recv() => page.on_workers(workers),
            () = &mut looking => {}
            Some(wish) = screen.wish() => match wish {
                Wish::Leave => return Ok(None),
                Wish::Interrupt => return Err(goes_on(job).into()),
                // One order at a time: a second one would not know what the first comes to.
                Wish::Pause => order = order.or_else(|| Some(pause_or_resume(client, page.job()))),
                Wish::Redraw => {}
            },
            answer = answer_of(&mut order) => match answer {
                Ok(view) => page.on_job(view, Instant::now()),
                Err(error) => page.on_message(error.to_string()),
            },
            _ = ticks.tick() => page.on_tick(Instant::now()),
        }
    }
}

/// An order on its way to a coordinator, which may be away: the page goes on meanwhile.
type Order<'a> = Pin<Box<dyn Future<Output = Result<JobView, ClientError>> + 'a>>;

fn pause_or_resume<'a>(client: &'a Client, job: &JobView) -> Order<'a> {
    let (job, state) = (job.job, job.state);
    Box::pin(async move {
        match state {
            JobState::Paused => client.resume(job).await,
            _ => client.pause(job).await,
        }
    })
}

/// What the coordinator says to the order that is under way, which is over then; never, when none
/// is.
async fn answer_of(order: &mut Option<Order<'_>>) -> Result<JobView, ClientError> {
    match order {
        None => std::future::pending().await,
        Some(under_way) => {
            let answer = under_way.await;
            *order = None;
            answer
        }
    }
}

/// Asks for the workers now and then, for ever. Who may not see them, or cannot now, sees none.
async fn look_at_workers(client: &Client, present: mpsc::UnboundedSender<Vec<WorkerView>>) {
    loop {
        if let Ok(workers) = client.workers().await {
            let _ = present.send(workers);
        }
        tokio::time::sleep(WORKERS_PAUSE).await;
    }
}

/// Prints how `job` ended and how to go on, and gives the exit code that says so.
pub fn conclude(printer: &Printer, job: &JobView) -> Result<Exit> {
    let how_to_retry = words::how_to_retry(job);
    let hint = format!("see `gleaner status {}` for its stages; {how_to_retry}", job.job);
    tell_end(printer, job, Some(&hint))
}

/// The same with another word on how to go on, or none: a job that ran on this machine alone is
/// with no coordinator that could be asked.
pub fn tell_end(printer: &Printer, job: &JobView, hint: Option<&str>) -> Result<Exit> {
    match job.state {
        JobState::Done => printer.result(job, || vec![words::ending(job)])?,
        _ if printer.form() == Form::Json => printer.result(job, Vec::new)?,
        _ => printer.failure(&words::ending(job), hint),
    }
    Ok(exit(job))
}

/// The exit code that says how `job` ended.
pub fn exit(job: &JobView) -> Exit {
    match job.state {
        JobState::Done if job.items_failed() > 0 => Exit::ItemsFailed,
        JobState::Done => Exit::Done,
        JobState::Cancelled => Exit::JobCancelled,
        JobState::Failed | JobState::Running | JobState::Paused => Exit::JobFailed,
    }
}

/// Asks for one view after the other until the job has ended, and hands each to `show`, with a
/// remark when there is one.
async fn follow_with(
    client: &Client,
    job: JobId,
    mut show: impl FnMut(Option<&str>, &JobView) -> Result<(), PrintError>,
) -> Result<JobView> {
    let mut view = client.job(job).await?;
    show(None, &view)?;
    while !view.state.is_final() {
        let next = match client.job_after(job, view.version, PATIENCE).await {
            Err(error) if error.is_connection_loss() => {
                show(Some("the coordinator is away; waiting for it to come back"), &view)?;
                let back = wait_for_return(client, job, error).await?;
                show(Some("the coordinator is back"), &back)?;
                back
            }
            next => next?,
        };
        if next.version != view.version {
            show(None, &next)?;
        }
        view = next;
        if !view.state.is_final() {
            tokio::time::sleep(CHANGE_PAUSE).await;
        }
    }
    Ok(view)
}

/// The job as it stands once the coordinator is back.
async fn wait_for_return(
    client: &Client,
    job: JobId,
    mut last_error: ClientError,
) -> Result<JobView, ClientError> {
    let gone_at = Instant::now();
    while gone_at.elapsed() < ABSENCE_MAX {
        tokio::time::sleep(ABSENCE_PAUSE).await;
        match client.job(job).await {
            Err(error) if error.is_connection_loss() => last_error = error,
            answer => return answer,
        }
    }
    Err(last_error)
}

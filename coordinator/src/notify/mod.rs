//! Telling whoever a job names how it goes: notices that the core has recorded are delivered here.
//!
//! ```text
//! core ──NoticeDue──► store ──due──► a try ──delivered──► gone
//!                       ▲              │
//!                       └──later───────┤
//!                                      └──too often, or not allowed──► given up; `status` says so
//! ```
//! Invariants: a notice is delivered at least once, also over crashes, or is given up after
//! [`TRIES_MAX`] tries; one try for a job at a time, few to a target or of a submitter's, and a
//! bounded number overall; what a submitter from elsewhere names is public and no command.
//! Deliberately absent: what is told when, which is the core's.

mod addresses;
mod command;
mod message;
mod post;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gleaner_clock::Clock;
use gleaner_protocol::{JobId, NotifyTarget, SubmitterId, Timestamp};
use tokio::sync::{Notify as Bell, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::store::{DueNotices, NoticeFate, OF_SUBMITTER_MAX, OF_TARGET_MAX, Store, StoredNotice};
use message::Message;
use post::Reach;

/// How often a notice is tried: over about three hours, so that a service that is restarted or
/// moved does not miss it.
const TRIES_MAX: u32 = 10;

/// The pause after the first try that failed; each further one is four times as long.
const RETRY_PAUSE_FIRST: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60 * 60);

/// How many tries there are at one time; each is a thread that waits, or a command.
const TRIES_AT_ONCE: usize = 32;

/// How many of these may be for one submitter, or the operator, and to one target of theirs, so that
/// slow ones keep nobody else waiting.
const TRIES_OF_SUBMITTER: usize = 8;
const TRIES_TO_TARGET: usize = 2;

const _: () = {
    assert!(TRIES_TO_TARGET <= OF_TARGET_MAX as usize, "what is begun must be seen");
    assert!(2 * TRIES_OF_SUBMITTER <= OF_SUBMITTER_MAX as usize, "behind those under way, too");
};

/// How long to wait after the store could not be asked or told.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// What is known of notices outside of the room where they are delivered.
#[derive(Debug)]
pub(crate) struct Notices {
    /// Rings when there may be something to deliver.
    bell: Bell,
    /// Counts tries that have ended.
    tries: watch::Sender<u64>,
    given_up: Mutex<BTreeMap<JobId, String>>,
    /// Why the last try of a job failed, for those that are tried again.
    failing: Mutex<BTreeMap<JobId, String>>,
}

/// Delivers notices.
pub(crate) struct Notifier {
    pub(crate) project: String,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) notices: Arc<Notices>,
}

/// Why a try failed.
#[derive(Debug, thiserror::Error)]
enum TryError {
    #[error(transparent)]
    Post(#[from] post::PostError),
    #[error(transparent)]
    Command(#[from] command::CommandError),
    #[error("a command runs for the operator's own jobs alone")]
    NotTheOperators,
}

impl Notices {
    /// With what `store` says was given up before.
    pub(crate) fn new(given_up: Vec<(JobId, String)>) -> Self {
        let given_up = Mutex::new(given_up.into_iter().collect());
        let failing = Mutex::default();
        Self { bell: Bell::new(), tries: watch::Sender::new(0), given_up, failing }
    }

    /// There may be something to deliver.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Why nobody was told of a job, if a notice of it was given up.
    pub(crate) fn given_up(&self, job: JobId) -> Option<String> {
        lock(&self.given_up).get(&job).cloned()
    }

    /// Waits until every notice that there is now was tried once; gives why some did not arrive.
    pub(crate) async fn tried(&self, store: &Store) -> Vec<String> {
        let mut tries = self.tries.subscribe();
        loop {
            tries.borrow_and_update();
            // A store that cannot be asked any more has nothing to wait for.
            let untried = store.has_untried_notices().await.unwrap_or(false);
            if !untried || tries.changed().await.is_err() {
                let (failing, given_up) = (lock(&self.failing), lock(&self.given_up));
                return failing.values().chain(given_up.values()).cloned().collect();
            }
        }
    }

    fn note(&self, job: JobId, fate: &NoticeFate) {
        match fate {
            NoticeFate::Again { failure, .. } => {
                lock(&self.failing).insert(job, failure.clone());
            }
            NoticeFate::GivenUp { failure } => {
                lock(&self.failing).remove(&job);
                lock(&self.given_up).insert(job, failure.clone());
            }
            NoticeFate::Delivered => {
                lock(&self.failing).remove(&job);
            }
        }
        self.tries.send_modify(|count| *count += 1);
    }
}

impl Notifier {
    /// Delivers until `stop` is cancelled; what is under way then is tried again after the next
    /// start.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut rounds =
            Rounds { notifier: Arc::new(self), busy: HashMap::new(), tries: JoinSet::new() };
        tokio::select! {
            () = stop.cancelled() => {}
            () = rounds.go_on() => {}
        }
    }

    /// Tries a notice, and does not come back before what became of it is durable: it would be
    /// told again and again.
    async fn deliver(&self, stored: StoredNotice) -> JobId {
        let job = stored.job;
        let fate = match self.attempt(&stored).await {
            Ok(()) => {
                info!(%job, target = %stored.notice.target, "notice delivered");
                NoticeFate::Delivered
            }
            Err(error) => self.fate(&stored, &error),
        };
        while let Err(error) = self.store.note_notice(stored.id, fate.clone()).await {
            debug!(%job, %error, "what became of a notice waits for room");
            tokio::time::sleep(STORE_PAUSE).await;
        }
        self.notices.note(job, &fate);
        job
    }

    async fn attempt(&self, stored: &StoredNotice) -> Result<(), TryError> {
        let message = Message::new(stored, &self.project);
        let is_operators = stored.submitter.is_none();
        match &stored.notice.target {
            NotifyTarget::Url(url) => {
                let reach = if is_operators { Reach::Anywhere } else { Reach::PublicOnly };
                Ok(post::post(url.clone(), message.json(), reach).await?)
            }
            // The submission was refused already; what is in the store is not trusted with this.
            NotifyTarget::Command(_) if !is_operators => Err(TryError::NotTheOperators),
            NotifyTarget::Command(words) => {
                Ok(command::run(words, &message.variables(), command::TIME_MAX).await?)
            }
        }
    }

    fn fate(&self, stored: &StoredNotice, error: &TryError) -> NoticeFate {
        let (job, tries, target) = (stored.job, stored.tries + 1, &stored.notice.target);
        let is_final = matches!(
            error,
            TryError::NotTheOperators | TryError::Post(post::PostError::NotPublic { .. })
        );
        if is_final || tries >= TRIES_MAX {
            warn!(%job, %target, tries, %error, "nobody was told; the notice is given up");
            let times = if tries == 1 { "try" } else { "tries" };
            let failure = format!("{target} was not told, given up after {tries} {times}: {error}");
            return NoticeFate::GivenUp { failure };
        }
        let pause = retry_pause(tries);
        warn!(%job, %target, tries, %error, ?pause, "a notice was not delivered");
        NoticeFate::Again { due_at: self.clock.now() + pause, failure: error.to_string() }
    }
}

/// Who is told of a job: by its submitter, if that is from elsewhere, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Receiver {
    submitter: Option<SubmitterId>,
    target: NotifyTarget,
}

/// The tries under way.
struct Rounds {
    notifier: Arc<Notifier>,
    /// By the job they are about.
    busy: HashMap<JobId, Receiver>,
    tries: JoinSet<JobId>,
}

impl Rounds {
    async fn go_on(&mut self) {
        loop {
            let now = self.notifier.clock.now();
            let pause = match self.notifier.store.due_notices(now).await {
                Ok(DueNotices { due, next }) => {
                    due.into_iter().for_each(|stored| self.begin(stored));
                    next.map(|at: Timestamp| at.saturating_since(now))
                }
                Err(error) => {
                    warn!(%error, "notices cannot be looked up");
                    Some(STORE_PAUSE)
                }
            };
            self.wait(pause).await;
        }
    }

    /// Begins a try, if there is room for one; what there is none for is found again.
    fn begin(&mut self, stored: StoredNotice) {
        let (submitter, target) = (stored.submitter, stored.notice.target.clone());
        let receiver = Receiver { submitter, target };
        if self.busy.contains_key(&stored.job) || !has_room(self.busy.values(), &receiver) {
            return;
        }
        self.busy.insert(stored.job, receiver);
        let notifier = Arc::clone(&self.notifier);
        self.tries.spawn(async move { notifier.deliver(stored).await });
    }

    /// Until a try ends, something new comes, or `pause` is over.
    async fn wait(&mut self, pause: Option<Duration>) {
        let over = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(ended) = self.tries.join_next() => {
                let job = ended.expect("tries do not panic");
                self.busy.remove(&job);
            }
            () = self.notifier.notices.bell.notified() => {}
            () = over => {}
        }
    }
}

fn lock(failures: &Mutex<BTreeMap<JobId, String>>) -> MutexGuard<'_, BTreeMap<JobId, String>> {
    failures.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether one more may be told beside those who are being told. Some room is the operator's alone.
fn has_room<'a>(busy: impl Iterator<Item = &'a Receiver> + Clone, next: &Receiver) -> bool {
    let own = busy.clone().filter(|receiver| receiver.submitter == next.submitter);
    let same = own.clone().filter(|receiver| receiver.target == next.target);
    let at_once = match next.submitter {
        None => TRIES_AT_ONCE,
        Some(_) => TRIES_AT_ONCE - TRIES_OF_SUBMITTER,
    };
    busy.count() < at_once && own.count() < TRIES_OF_SUBMITTER && same.count() < TRIES_TO_TARGET
}

/// How long to wait after so many tries have failed.
fn retry_pause(tries: u32) -> Duration {
    RETRY_PAUSE_FIRST.saturating_mul(4_u32.saturating_pow(tries - 1)).min(RETRY_PAUSE_MAX)
}

#[cfg(test)]
mod tests;

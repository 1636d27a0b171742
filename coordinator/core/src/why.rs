//! Why things wait, in plain sentences with numbers. Pure: the books are read, and nothing changes.
//!
//! A sentence says what is, never what to do: that is for whoever prints it. Times are told as
//! spans, so that they mean the same on any clock.

use std::collections::BTreeMap;
use std::time::Duration;

use gleaner_protocol::limits::LEASES_HELD_MAX;
use gleaner_protocol::{
    AttemptId, JobId, Obstacle, OutcomeClass, StageIndex, Timestamp, UnitId, WorkerId,
};

use crate::core::Core;
use crate::job::Job;
use crate::session::{Presence, Session};
use crate::stage::{Stage, Whereabouts};
use crate::unit::{HeldLease, Unit};
use crate::{JobEnd, Reply, StageState};

/// How many jobs a worker's answer names.
const JOBS_TOLD_MAX: usize = 5;

/// What a question of why is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A job.
    Job(JobId),
    /// A unit that was cut.
    Unit(UnitId),
    /// A worker.
    Worker(WorkerId),
}

impl Core {
    pub(crate) fn why(&self, now: Timestamp, subject: Subject) -> Reply {
        let id = match subject {
            Subject::Job(id) | Subject::Unit(UnitId { job: id, .. }) => id,
            Subject::Worker(worker) => return Reply::Why(self.why_worker(now, worker)),
        };
        let Some(job) = self.jobs.get(&id) else { return self.absent(id) };
        Reply::Why(match (subject, &job.end) {
            (Subject::Unit(unit), None) => self.why_unit(now, job, unit),
            (_, Some((end, at))) => {
                let ended = ended(id, end, now.saturating_since(*at));
                [vec![ended], retries(job)].concat()
            }
            (_, None) => [self.why_job(now, job), retries(job)].concat(),
        })
    }

    pub(crate) fn why_job(&self, now: Timestamp, job: &Job) -> Vec<String> {
        let stages = (0..).map(StageIndex).zip(&job.stages);
        let mut said: Vec<_> =
            stages.filter_map(|(index, stage)| self.why_stage(now, job, index, stage)).collect();
        said.extend(self.why_not_handed_out(now, job));
        said
    }

    /// Where a stage stands; nothing of one that is done.
    fn why_stage(
        &self,
        now: Timestamp,
        job: &Job,
        index: StageIndex,
        stage: &Stage,
    ) -> Option<String> {
        let name = job.stage_name(index);
        Some(match stage.state() {
            StageState::Done => return None,
            StageState::Blocked => {
                let earlier = job.input_stage(index).map(|earlier| job.stage_name(earlier));
                format!("stage `{name}` waits for stage `{}` to be done", earlier.unwrap_or("?"))
            }
            StageState::Reducing => format!(
                "stage `{name}`: all {} are settled, and its output is being put together",
                count(stage.items_settled(), "item")
            ),
            StageState::Open => {
                let items = stage.items().unwrap_or(0);
                let settled = stage.items_settled();
                let mut sentence =
                    format!("stage `{name}`: {settled} of {items} items are settled");
                if let Some(first) = stage.first_leased_at() {
                    sentence = format!("{sentence}; {}", out(now, stage, first));
                }
                match waiting(stage, job.quorum) {
                    Some(waiting) => format!("{sentence}; {waiting}"),
                    None => sentence,
                }
            }
        })
    }

    /// Why what waits of a running job is not with a worker.
    fn why_not_handed_out(&self, now: Timestamp, job: &Job) -> Vec<String> {
        if let Some(at) = job.paused_at {
            let paused = span(now.saturating_since(at));
            return vec![format!(
                "{} has been paused for {paused}: nothing of it is handed out, and what runs may \
                 finish",
                job.id
            )];
        }
        let open = || job.stages.iter().filter(|stage| stage.state() == StageState::Open);
        let mut said = Vec::new();
        let held: u64 = open().map(|stage| stage.waiting(job.quorum).for_holders).sum();
        if let Some(until) = self.grace_until.filter(|_| held > 0) {
            let left = span(until.saturating_since(now));
            said.push(format!(
                "{} may be with workers since before the coordinator was restarted, and wait for \
                 them to come back; in {left} they go to others",
                count(held, "unit")
            ));
        }
        if let Some(memory_bytes) = waiting_stages(job).map(|(_, stage)| stage.memory_bytes()).min()
        {
            said.extend(self.why_nobody_takes(now, job, memory_bytes));
        }
        said
    }

    /// Why a unit of a stage that waits is not with a worker.
    fn why_unit_not_handed_out(
        &self,
        now: Timestamp,
        job: &Job,
        (index, stage): (StageIndex, &Stage),
        id: UnitId,
    ) -> Vec<String> {
        if job.paused_at.is_some() {
            return self.why_not_handed_out(now, job);
        }
        let held_until = self.grace_until.filter(|_| stage.is_held(id.number, job.quorum));
        if let Some(until) = held_until {
            let left = span(until.saturating_since(now));
            return vec![format!(
                "{id} of stage `{}` may be with a worker since before the coordinator was restarted, \
                 and waits for it to come back; in {left} it goes to others",
                job.stage_name(index)
            )];
        }
        self.why_nobody_takes(now, job, stage.memory_bytes())
    }

    /// How often a unit was tried without an answer, where, and who is asked next.
    fn why_tried(
        &self,
        now: Timestamp,
        job: &Job,
        (index, stage): (StageIndex, &Stage),
        id: UnitId,
        unit: &Unit,
    ) -> Option<String> {
        let tried = unit.inconclusive() as u64;
        if tried == 0 {
            return None;
        }
        let workers = unit.inconclusive_workers() as u64;
        let able = self.roster.able(stage.memory_bytes());
        let able = able.filter(|worker| !self.roster.is_unable(now, *worker, job.id, index));
        let untried =
            able.filter(|worker| unit.is_new_to(*worker) && !unit.was_inconclusive_on(*worker));
        let next = match untried.count() as u64 {
            0 => {
                "no other worker is there that could take it, so that each may try again".to_owned()
            }
            1 => "1 worker that has not tried it is asked first".to_owned(),
            others => format!("{others} workers that have not tried it are asked first"),
        };
        Some(format!(
            "{} of {id} ended without an answer, on {}; {next}; at {} its job is given up",
            count(tried, "attempt"),
            count(workers, "worker"),
            job.max_attempts
        ))
    }

    /// Why no worker takes what waits of a job whose items may take `memory_bytes` each.
    fn why_nobody_takes(&self, now: Timestamp, job: &Job, memory_bytes: u64) -> Vec<String> {
        let connected: Vec<_> = self.roster.connected().map(|(_, session)| session).collect();
        let workers = connected.len() as u64;
        if connected.is_empty() {
            return vec!["no worker is connected".to_owned()];
        }
        let largest = connected.iter().map(|session| session.capacity.slot_memory_bytes).max();
        let largest = largest.unwrap_or(0);
        if largest == 0 {
            return vec![format!("{} connected, and none has asked for units yet", are(workers))];
        }
        if largest < memory_bytes {
            return vec![format!(
                "an item may take {}, and the largest slot offered has {} ({} connected)",
                size(memory_bytes),
                size(largest),
                are(workers)
            )];
        }
        let able = |session: &&&Session| session.capacity.slot_memory_bytes >= memory_bytes;
        let able: Vec<_> = connected.iter().filter(able).copied().collect();
        let (unable, able): (Vec<_>, Vec<_>) =
            able.into_iter().partition(|session| is_unable(now, job, session));
        let sated = able.iter().filter(|session| session.capacity.units == 0).count() as u64;
        let mut said = Vec::new();
        if job.quorum as u64 > workers {
            said.push(format!(
                "{} must give the same answer to a unit, and {} connected",
                count(job.quorum.into(), "worker"),
                are(workers)
            ));
        }
        said.extend(why_unable(now, job, &unable));
        if sated > 0 {
            said.push(self.why_sated(job, able.len() as u64, sated));
        }
        if sated < able.len() as u64 {
            said.push(format!(
                "{} for more, but what waits has its answer already, or is to be tried by others",
                match able.len() as u64 - sated {
                    1 => "1 worker asks".to_owned(),
                    workers => format!("{workers} workers ask"),
                }
            ));
        }
        said
    }

    /// That workers have all they asked for, and of which jobs that is.
    fn why_sated(&self, job: &Job, able: u64, sated: u64) -> String {
        let leased: u64 = self.running.iter().map(|id| self.jobs[id].attempts_leased()).sum();
        let own = job.attempts_leased();
        let others = leased - own;
        let before = self.running.iter().map(|id| &self.jobs[id]).filter(|other| {
            other.owner == job.owner && other.priority > job.priority && other.takes_turns()
        });
        let first = match before.count() {
            0 => String::new(),
            1 => "; 1 job of a higher priority goes first".to_owned(),
            jobs => format!("; {jobs} jobs of a higher priority go first"),
        };
        let who = match able - sated {
            0 => "every worker that could take it has all the units it asked for".to_owned(),
            _ => {
                format!("{sated} of the {able} workers that could take it have all they asked for")
            }
        };
        let own = count(own, "attempt");
        format!("{who}: {own} of {} and {others} of other jobs are with workers{first}", job.id)
    }

    fn why_unit(&self, now: Timestamp, job: &Job, id: UnitId) -> Vec<String> {
        let stages = (0..).map(StageIndex).zip(&job.stages);
        let found = stages
            .filter_map(|(index, stage)| Some((index, stage, stage.whereabouts(id.number)?)))
            .next();
        match found {
            Some((index, stage, Whereabouts::InFlight(unit))) => {
                self.why_in_flight(now, job, (index, stage), id, unit)
            }
            Some((index, stage, Whereabouts::Ahead(before))) => {
                let name = job.stage_name(index);
                let turn = match before {
                    0 => "it is the next one".to_owned(),
                    1 => "1 unit goes before it".to_owned(),
                    units => format!("{units} units go before it"),
                };
                let first = format!("{id} of stage `{name}` waits for its first attempt; {turn}");
                let mut said = vec![first];
                said.extend(self.why_unit_not_handed_out(now, job, (index, stage), id));
                said
            }
            Some((_, stage, Whereabouts::Settled)) if stage.has_replaced_units() => {
                vec![format!("{id} is settled, or a unit for each of its items took its place")]
            }
            Some((_, _, Whereabouts::Settled)) | None => {
                vec![format!("{id} is settled: its result is final")]
            }
        }
    }

    fn why_in_flight(
        &self,
        now: Timestamp,
        job: &Job,
        (index, stage): (StageIndex, &Stage),
        id: UnitId,
        unit: &Unit,
    ) -> Vec<String> {
        let mut said: Vec<_> =
            unit.leases().iter().map(|lease| self.why_leased(now, id, lease)).collect();
        let (answers, quorum) = (unit.opinions().len() as u64, job.quorum);
        if answers > 0 {
            let there = if answers == 1 { "is" } else { "are" };
            said.push(format!(
                "{} {there} here, and {quorum} must agree",
                count(answers, "answer")
            ));
        }
        said.extend(self.why_tried(now, job, (index, stage), id, unit));
        if unit.attempts_wanted(quorum) == 0 {
            return said;
        }
        if stage.is_wanting(id.number) {
            said.push(format!("{id} of stage `{}` waits for a worker", job.stage_name(index)));
        }
        said.extend(self.why_unit_not_handed_out(now, job, (index, stage), id));
        said
    }

    /// Whose an attempt is, and whether it runs there.
    fn why_leased(&self, now: Timestamp, unit: UnitId, lease: &HeldLease) -> String {
        let HeldLease { attempt: number, worker, leased_at, expires_at, running_since, .. } =
            *lease;
        let attempt = AttemptId { unit, number };
        let session = self.roster.get(worker).expect("who holds a lease is known");
        let is_away = session.presence == Presence::Away;
        let since = span(now.saturating_since(leased_at));
        let stands = match running_since {
            Some(_) if is_away => {
                format!("has been with {worker} for {since}, running when that was heard last")
            }
            Some(since) => {
                format!("has been running on {worker} for {}", span(now.saturating_since(since)))
            }
            None => {
                let (running, held) = (session.running.len(), session.leases.len());
                format!(
                    "has been assigned to {worker} for {since}, which runs {running} of the {held} \
                     it holds"
                )
            }
        };
        let away = if is_away { "; the worker is not connected now" } else { "" };
        let left = span(expires_at.saturating_since(now));
        format!(
            "{attempt} {stands}{away}; its lease ends in {left} unless the worker speaks for it"
        )
    }

    fn why_worker(&self, now: Timestamp, worker: WorkerId) -> Vec<String> {
        let Some(session) = self.roster.get(worker) else {
            return vec![format!("{worker} is not connected and holds no lease")];
        };
        let leases = holds(session);
        let mut said = vec![match session.presence {
            Presence::Connected { since } => format!(
                "{worker} has been connected for {}, offers {} of {} each and holds {leases}",
                span(now.saturating_since(since)),
                count(session.capacity.slots.into(), "slot"),
                size(session.capacity.slot_memory_bytes)
            ),
            Presence::Away => format!(
                "{worker} is not connected; it holds {leases} until they expire or it comes back"
            ),
        }];
        if let Some(returned) = session.last_returned {
            let words = match returned.class {
                OutcomeClass::Completed => "with its outputs",
                OutcomeClass::Failure => "as a failure",
                OutcomeClass::Inconclusive => "without an answer",
            };
            let ago = span(now.saturating_since(returned.at));
            said.push(format!("it last returned {} {words}, {ago} ago", returned.attempt));
        }
        if matches!(session.presence, Presence::Connected { .. }) {
            said.extend(self.why_given_nothing(now, worker, session));
        }
        said
    }

    /// Why a worker that is connected is given nothing more now.
    fn why_given_nothing(
        &self,
        now: Timestamp,
        worker: WorkerId,
        session: &Session,
    ) -> Vec<String> {
        if session.capacity.slots == 0 {
            return vec!["it has not asked for units yet".to_owned()];
        }
        if session.leases.len() >= LEASES_HELD_MAX {
            return vec![format!("it holds as many leases as one may, {LEASES_HELD_MAX}")];
        }
        let unable = self.why_unable_for_now(now, session);
        if session.capacity.units == 0 {
            return [unable, vec!["it has all the units it asked for".to_owned()]].concat();
        }
        let asks = format!("it asks for {} more", count(session.capacity.units.into(), "unit"));
        if self.running.is_empty() {
            return vec![format!("{asks}, and no job runs")];
        }
        let jobs = self.running.iter().map(|id| &self.jobs[id]);
        let told = jobs.take(JOBS_TOLD_MAX).map(|job| self.why_not_of(now, job, session));
        let rest = self.running.len().saturating_sub(JOBS_TOLD_MAX) as u64;
        let rest =
            (rest > 0).then(|| format!("{} more have nothing for {worker}", count(rest, "job")));
        unable.into_iter().chain([asks]).chain(told).chain(rest).collect()
    }

    /// What keeps a worker from running stages of jobs that run, the first few of them.
    fn why_unable_for_now(&self, now: Timestamp, session: &Session) -> Vec<String> {
        let all = session.unable.all(now);
        let running = all.filter_map(|(id, stage, known)| {
            Some((self.jobs.get(&id).filter(|job| job.is_running())?, stage, known))
        });
        let told = running.take(JOBS_TOLD_MAX).map(|(job, stage, known)| {
            let left = span(known.until.saturating_since(now));
            let (obstacle, stage) = (known.obstacle, job.stage_name(stage));
            format!("{obstacle}: it is given nothing of stage `{stage}` of {} for {left}", job.id)
        });
        told.collect()
    }

    /// Why a worker that asks for more gets nothing of a job.
    fn why_not_of(&self, now: Timestamp, job: &Job, session: &Session) -> String {
        let id = job.id;
        if job.paused_at.is_some() {
            return format!("{id} is paused");
        }
        let open = || job.stages.iter().filter(|stage| stage.state() == StageState::Open);
        let waits = waiting_stages(job).map(|(_, stage)| stage.memory_bytes());
        let Some(memory_bytes) = waits.min() else {
            let held: u64 = open().map(|stage| stage.waiting(job.quorum).for_holders).sum();
            return match held {
                0 => format!("{id} has no unit that waits"),
                held => {
                    format!("{} of {id} wait for the workers that had them", count(held, "unit"))
                }
            };
        };
        let offered = session.capacity.slot_memory_bytes;
        if memory_bytes > offered {
            let (needed, offered) = (size(memory_bytes), size(offered));
            return format!("an item of {id} may take {needed}, and its slots have {offered}");
        }
        if is_unable(now, job, session) {
            return format!("what waits of {id} it cannot run for now");
        }
        format!("what waits of {id} has its answer already, or is to be tried by others")
    }
}

/// The stages of which something waits for any worker.
fn waiting_stages(job: &Job) -> impl Iterator<Item = (StageIndex, &Stage)> + Clone {
    let stages = (0..).map(StageIndex).zip(&job.stages);
    let open = stages.filter(|(_, stage)| stage.state() == StageState::Open);
    open.filter(|(_, stage)| stage.waiting(job.quorum).is_for_anybody())
}

/// Whether a worker can run nothing of what waits of a job for now.
fn is_unable(now: Timestamp, job: &Job, session: &Session) -> bool {
    let mut waits = waiting_stages(job);
    waits.all(|(index, _)| session.unable.of(now, job.id, index).is_some())
}

/// What keeps workers from running what waits of a job: a sentence for each such thing.
fn why_unable(now: Timestamp, job: &Job, unable: &[&Session]) -> Vec<String> {
    let mut by_obstacle = BTreeMap::<Obstacle, (u64, Timestamp)>::new();
    for session in unable {
        let known = waiting_stages(job)
            .filter_map(|(index, _)| session.unable.of(now, job.id, index))
            .min_by_key(|known| known.until);
        let Some(known) = known else { continue };
        let (workers, until) = by_obstacle.entry(known.obstacle).or_insert((0, known.until));
        *workers += 1;
        *until = known.until.min(*until);
    }
    let told = by_obstacle.into_iter().map(|(obstacle, (workers, until))| {
        let left = span(until.saturating_since(now));
        match workers {
            1 => format!("1 worker cannot run it: {obstacle}; it is asked again in {left}"),
            workers => format!(
                "{workers} workers cannot run it, each for the same reason: {obstacle}; the first is \
                 asked again in {left}"
            ),
        }
    });
    told.collect()
}

/// What of a stage is with workers, the `first` of it since then.
fn out(now: Timestamp, stage: &Stage, first: Timestamp) -> String {
    let since = span(now.saturating_since(first));
    let running = stage.attempts_running();
    match (running, stage.attempts_leased() - running) {
        (0, 1) => format!("1 attempt has been assigned to a worker for {since}"),
        (0, assigned) => {
            format!("{assigned} attempts are assigned to workers, the first for {since}")
        }
        (1, 0) => format!("1 attempt is running, assigned {since} ago"),
        (running, 0) => format!("{running} attempts are running, the first assigned {since} ago"),
        (running, assigned) => format!(
            "{running} running and {assigned} more assigned to workers, the first {since} ago"
        ),
    }
}

/// The leases of a worker, and how many of them run.
fn holds(session: &Session) -> String {
    let leases = count(session.leases.len() as u64, "lease");
    match session.running.len() {
        0 => leases,
        running => format!("{leases}, {running} running"),
    }
}

fn ended(job: JobId, end: &JobEnd, ago: Duration) -> String {
    let ago = span(ago);
    match end {
        JobEnd::Done => format!("{job} has been done for {ago}: nothing of it waits"),
        JobEnd::Cancelled => format!("{job} was cancelled {ago} ago: nothing of it is worked on"),
        JobEnd::Failed { reason, .. } => format!("{job} failed {ago} ago: {reason}"),
    }
}

/// Which job it takes up again, and which one takes it up.
fn retries(job: &Job) -> Vec<String> {
    let of = job.retry_of.map(|retried| format!("{} retries {retried}", job.id));
    let by = job.retried_by.map(|retry| format!("{retry} retries {}", job.id));
    of.into_iter().chain(by).collect()
}

/// What of a stage waits, if anything does.
fn waiting(stage: &Stage, quorum: u32) -> Option<String> {
    let waiting = stage.waiting(quorum);
    let units = waiting.again + waiting.ahead;
    match (units, waiting.items_uncut) {
        (0, 0) => None,
        (0, 1) => Some("1 item waits".to_owned()),
        (1, 0) => Some("1 unit waits".to_owned()),
        (0, items) => Some(format!("{items} items wait")),
        (units, 0) => Some(format!("{units} units wait")),
        (units, items) => {
            Some(format!("{} and {} behind them wait", count(units, "unit"), count(items, "item")))
        }
    }
}

pub(crate) fn count(number: u64, of: &str) -> String {
    match number {
        1 => format!("1 {of}"),
        number => format!("{number} {of}s"),
    }
}

fn are(workers: u64) -> String {
    match workers {
        1 => "1 worker is".to_owned(),
        workers => format!("{workers} workers are"),
    }
}

/// Two units at most, down to seconds.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_millis().div_ceil(1000) as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// As a manifest says sizes: in the largest unit that divides it, or with one digit.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        None => format!("{bytes} bytes"),
        Some((unit, name)) if bytes.is_multiple_of(unit) => format!("{} {name}", bytes / unit),
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
    }
}

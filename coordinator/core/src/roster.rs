//! The workers that are known, and which of them could take something now.
//!
//! A worker is filed anew with every change of its session, so that no event looks at all of them.
//! Invariant: each file says what the sessions say.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::time::Duration;

use gleaner_protocol::limits::LEASES_HELD_MAX;
use gleaner_protocol::{Capacity, JobId, StageIndex, Timestamp, WorkerId};

use crate::filing::refile;
use crate::hashing::Seeded;
use crate::inability::Inabilities;
use crate::pace::{Pace, Speed};
use crate::session::{Presence, Session};

/// A worker that found nothing it can run is asked again after so long.
const UNABLE_ASKED_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Roster {
    sessions: HashMap<WorkerId, Session, Seeded>,
    connected: BTreeSet<WorkerId>,
    /// Those connected that offer slots, by the memory of each slot.
    able: BTreeSet<(u64, WorkerId)>,
    /// Those that want more and may be given it.
    hungry: BTreeSet<Place>,
    /// Those of them that have slots without a unit.
    idle: BTreeSet<Place>,
    /// Those that are not asked for a while, by when that is over.
    paused: BTreeSet<(Timestamp, WorkerId)>,
    /// When to look for leases that have expired: one time for each worker that holds some, at the
    /// latest when the first of them does.
    expiries: BTreeSet<(Timestamp, WorkerId)>,
    /// All slots that are offered.
    slots: u64,
    /// What these compute together.
    speed: Speed,
}

/// The place of a worker among others: by the class of its pace, the fastest first, then by the memory
/// of its slots.
pub(crate) type Place = (u32, u64, WorkerId);

/// Where a worker is filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Filing {
    presence: Presence,
    slots: u32,
    slot_memory_bytes: u64,
    pace_class: u32,
    hunger: Hunger,
    paused_until: Timestamp,
    expires_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hunger {
    /// It has slots without a unit.
    Idle,
    Hungry,
    Sated,
}

impl Roster {
    /// Nobody is known. No stranger knows `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            sessions: HashMap::with_hasher(Seeded::new(seed)),
            connected: BTreeSet::new(),
            able: BTreeSet::new(),
            hungry: BTreeSet::new(),
            idle: BTreeSet::new(),
            paused: BTreeSet::new(),
            expiries: BTreeSet::new(),
            slots: 0,
            speed: Speed::default(),
        }
    }

    /// The session of a worker whose stream is new.
    pub(crate) fn connect(&mut self, now: Timestamp, worker: WorkerId) {
        self.sessions.entry(worker).or_default();
        self.update(worker, |session| {
            session.presence = Presence::Connected { since: now };
            session.capacity = Capacity::default();
            // It may have been mended.
            session.unable = Inabilities::default();
            session.paused_until = Timestamp::ZERO;
        });
    }

    /// Takes what a worker offers for leases that last so long; of one that is away that is stale.
    pub(crate) fn offer(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
        capacity: Capacity,
        lease_duration: Duration,
    ) {
        self.update(worker, |session| {
            if session.presence != Presence::Away {
                session.offer(now, capacity, lease_duration);
            }
        });
    }

    /// Changes a session, if there is one. One that is away and holds nothing is forgotten.
    pub(crate) fn update<T>(
        &mut self,
        worker: WorkerId,
        change: impl FnOnce(&mut Session) -> T,
    ) -> Option<T> {
        let session = self.sessions.get_mut(&worker)?;
        let before = Filing::of(session);
        let told = change(session);
        let after = Filing::of(session);
        let gone = session.presence == Presence::Away && session.leases.is_empty();
        if before != after {
            self.refile(worker, before, after);
        }
        if gone {
            self.forget(worker);
        }
        Some(told)
    }

    pub(crate) fn get(&self, worker: WorkerId) -> Option<&Session> {
        self.sessions.get(&worker)
    }

    /// How fast a worker is, as far as that is known.
    pub(crate) fn pace(&self, worker: WorkerId) -> Pace {
        self.sessions.get(&worker).map_or_else(Pace::default, |session| session.pace)
    }

    /// The workers connected, in the order of their keys.
    pub(crate) fn connected(&self) -> impl Iterator<Item = (WorkerId, &Session)> {
        self.connected.iter().map(|worker| (*worker, &self.sessions[worker]))
    }

    /// How many leases all workers hold, those that are away too.
    pub(crate) fn leases_held(&self) -> usize {
        self.sessions.values().map(|session| session.leases.len()).sum()
    }

    /// How many attempts run, as their workers have said.
    pub(crate) fn running(&self) -> usize {
        self.sessions.values().map(|session| session.running.len()).sum()
    }

    /// All slots that workers connected offer.
    pub(crate) fn slots(&self) -> u64 {
        self.slots
    }

    /// What these slots compute together.
    pub(crate) fn speed(&self) -> Speed {
        self.speed
    }

    /// The workers connected whose slots have so much memory.
    pub(crate) fn able(&self, memory_bytes: u64) -> impl Iterator<Item = WorkerId> + Clone {
        let from = (memory_bytes, WorkerId([0; 32]));
        self.able.range(from..).map(|(_, worker)| *worker)
    }

    /// The next worker that wants more, may be given it and has so much memory for a slot, in the
    /// order of their places.
    pub(crate) fn next_hungry(&self, memory_bytes: u64, after: Option<Place>) -> Option<Place> {
        next_with(&self.hungry, memory_bytes, after)
    }

    pub(crate) fn is_hungry(&self, worker: WorkerId) -> bool {
        self.sessions.get(&worker).is_some_and(|session| Hunger::of(session) != Hunger::Sated)
    }

    /// Whether a worker cannot run units of a stage for now.
    pub(crate) fn is_unable(
        &self,
        now: Timestamp,
        worker: WorkerId,
        job: JobId,
        stage: StageIndex,
    ) -> bool {
        let session = self.sessions.get(&worker);
        session.is_some_and(|session| session.unable.of(now, job, stage).is_some())
    }

    /// There is nothing for a worker now. One that cannot run all there is is asked again in a while,
    /// so that not every event asks all of its like.
    pub(crate) fn rest_if_unable(&mut self, now: Timestamp, worker: WorkerId) {
        let unable = self.sessions.get(&worker).and_then(|session| session.unable.next_end(now));
        if let Some(end) = unable {
            let until = end.min(now + UNABLE_ASKED_AFTER);
            self.update(worker, |session| session.paused_until = until);
        }
    }

    /// The workers that have slots without a unit, each with so much memory, in the order of their
    /// places.
    pub(crate) fn idle(&self, memory_bytes: u64) -> impl Iterator<Item = WorkerId> {
        let next = move |after| next_with(&self.idle, memory_bytes, after);
        let places = std::iter::successors(next(None), move |place| next(Some(*place)));
        places.map(|(_, _, worker)| worker)
    }

    /// The first of those that have slots without a unit, and its pace.
    pub(crate) fn fastest_idle(&self) -> Option<(WorkerId, Pace)> {
        let (_, _, worker) = self.idle.first()?;
        Some((*worker, self.sessions[worker].pace))
    }

    pub(crate) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Lets those be asked again whose pause is over.
    pub(crate) fn end_pauses(&mut self, now: Timestamp) {
        while let Some((_, worker)) =
            self.paused.first().copied().filter(|(until, _)| *until <= now)
        {
            self.update(worker, |session| session.paused_until = Timestamp::ZERO);
        }
    }

    /// When the next pause is over.
    pub(crate) fn next_pause_end(&self) -> Option<Timestamp> {
        self.paused.first().map(|(until, _)| *until)
    }

    /// When to look for leases that have expired, of which worker.
    pub(crate) fn next_expiry(&self) -> Option<(Timestamp, WorkerId)> {
        self.expiries.first().copied()
    }

    fn refile(&mut self, worker: WorkerId, before: Filing, after: Filing) {
        let at = |memory: Option<u64>| memory.map(|memory| (memory, worker));
        let place = |of: Option<(u32, u64)>| of.map(|(class, memory)| (class, memory, worker));
        let until = |time: Option<Timestamp>| time.map(|time| (time, worker));
        refile(&mut self.able, at(before.able()), at(after.able()));
        refile(&mut self.hungry, place(before.hungry()), place(after.hungry()));
        refile(&mut self.idle, place(before.idle()), place(after.idle()));
        refile(&mut self.paused, until(before.paused()), until(after.paused()));
        refile(&mut self.expiries, until(before.expires_at), until(after.expires_at));
        self.slots = self.slots - u64::from(before.slots) + u64::from(after.slots);
        self.speed.remove(before.slots, before.pace_class);
        self.speed.add(after.slots, after.pace_class);
        if before.presence != after.presence {
            match after.presence {
                Presence::Connected { .. } => self.connected.insert(worker),
                Presence::Away => self.connected.remove(&worker),
            };
        }
    }

    fn forget(&mut self, worker: WorkerId) {
        let session = self.sessions.remove(&worker).expect("the session was just looked at");
        self.refile(worker, Filing::of(&session), Filing::of(&Session::default()));
    }

    pub(crate) fn check_invariants(&self) {
        let filings =
            || self.sessions.iter().map(|(worker, session)| (*worker, Filing::of(session)));
        let file = |of: fn(Filing) -> Option<u64>| -> BTreeSet<(u64, WorkerId)> {
            filings().filter_map(|(worker, filing)| Some((of(filing)?, worker))).collect()
        };
        assert_eq!(file(Filing::able), self.able, "able workers are misfiled");
        let places = |of: fn(Filing) -> Option<(u32, u64)>| -> BTreeSet<Place> {
            let place =
                |(worker, filing)| of(filing).map(|(class, memory)| (class, memory, worker));
            filings().filter_map(place).collect()
        };
        assert_eq!(places(Filing::hungry), self.hungry, "hungry workers are misfiled");
        assert_eq!(places(Filing::idle), self.idle, "idle workers are misfiled");
        let times = |of: fn(Filing) -> Option<Timestamp>| -> BTreeSet<(Timestamp, WorkerId)> {
            filings().filter_map(|(worker, filing)| Some((of(filing)?, worker))).collect()
        };
        assert_eq!(times(Filing::paused), self.paused, "paused workers are misfiled");
        assert_eq!(times(|filing| filing.expires_at), self.expiries, "expiries are misfiled");
        let slots: u64 = filings().map(|(_, filing)| u64::from(filing.slots)).sum();
        assert_eq!(slots, self.slots, "slots are miscounted");
        let mut speed = Speed::default();
        filings().for_each(|(_, filing)| speed.add(filing.slots, filing.pace_class));
        assert_eq!(speed, self.speed, "slots are miscounted by their paces");
        for (worker, session) in &self.sessions {
            let connected = matches!(session.presence, Presence::Connected { .. });
            assert_eq!(connected, self.connected.contains(worker), "{worker} misfiled");
            assert!(connected || session.capacity == Capacity::default(), "{worker} offers, away");
            let watched = session.leases.is_empty() || session.expires_at.is_some();
            assert!(watched, "no lease of {worker} would ever expire");
        }
    }
}

/// The next place of a worker whose slots have so much memory.
fn next_with(file: &BTreeSet<Place>, memory_bytes: u64, after: Option<Place>) -> Option<Place> {
    let mut from = after.map_or(Bound::Unbounded, Bound::Excluded);
    loop {
        let place = file.range((from, Bound::Unbounded)).next()?;
        if place.1 >= memory_bytes {
            return Some(*place);
        }
        from = Bound::Included((place.0, memory_bytes, WorkerId([0; 32])));
    }
}

impl Filing {
    fn of(session: &Session) -> Self {
        Self {
            presence: session.presence,
            slots: session.capacity.slots,
            slot_memory_bytes: session.capacity.slot_memory_bytes,
            pace_class: session.pace.class(),
            hunger: Hunger::of(session),
            paused_until: session.paused_until,
            expires_at: session.expires_at,
        }
    }

    fn able(self) -> Option<u64> {
        (self.slots > 0).then_some(self.slot_memory_bytes)
    }

    fn hungry(self) -> Option<(u32, u64)> {
        (self.hunger != Hunger::Sated).then_some((self.pace_class, self.slot_memory_bytes))
    }

    fn idle(self) -> Option<(u32, u64)> {
        (self.hunger == Hunger::Idle).then_some((self.pace_class, self.slot_memory_bytes))
    }

    fn paused(self) -> Option<Timestamp> {
        (self.paused_until > Timestamp::ZERO).then_some(self.paused_until)
    }
}

impl Hunger {
    fn of(session: &Session) -> Self {
        let may_be_given_more = session.capacity.units > 0
            && session.paused_until == Timestamp::ZERO
            && session.leases.len() < LEASES_HELD_MAX
            && matches!(session.presence, Presence::Connected { .. });
        let has_free_slots = session.leases.len() < session.capacity.slots as usize;
        match (may_be_given_more, has_free_slots) {
            (true, true) => Self::Idle,
            (true, false) => Self::Hungry,
            (false, _) => Self::Sated,
        }
    }
}

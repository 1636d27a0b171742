//! The life of one lease.
//!
//! ```text
//!  lease with blob    lease with inputs
//!        │                   │
//!        ▼     inputs had    ▼    stage ready        dispatched
//!    Fetching ───────────► Waiting ──────► Queued ─────────────► Running
//!        │                   │                ▲                  │  ▲  │
//!        │                   │                │     slot ended   │  │  │ suspended / resumed
//!        │                   │                └──────────────────┤  ▼  │
//!        │ module refused    │ module refused                    │ Suspended
//!        │                   ▼                  finished         │    │
//!        └──────────────► Answered ◄─────────────────────────────┴────┘
//!                            │ kept (on disk)
//!                            ▼     sent
//!                           Kept ─────────► Sent
//!                            ▲               │
//!                            └─ stream lost ─┘
//!
//!   gone: withdrawn in any state, released before Answered, acknowledged in Kept or Sent
//! ```
//! Pure: a state and an event give the next state. What follows from a step is the worker's.

use gleaner_protocol::{ProjectId, Timestamp};

use crate::event::{HeldLease, RunId, SlotIndex, StageKey};

/// A lease and how far it is.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) lease: HeldLease,
    /// Position in the order of arrival, which is the order of running.
    pub(crate) arrival: u64,
    pub(crate) state: AttemptState,
    /// Whether it was ever suspended: its time then says nothing about its stage's units.
    pub(crate) interrupted: bool,
}

impl Attempt {
    /// The stage that it is of, as an attempt of `project`.
    pub(crate) fn stage(&self, project: ProjectId) -> StageKey {
        self.lease.stage(project)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptState {
    /// Its inputs are being fetched.
    Fetching,
    /// Its inputs are here, its stage is not ready.
    Waiting,
    /// All is here but a slot.
    Queued,
    /// In a slot's pipe.
    Running { slot: SlotIndex, run: RunId },
    /// In a suspended slot's pipe.
    Suspended { slot: SlotIndex, run: RunId },
    /// Its result is being written to disk.
    Answered,
    /// Its result can be sent.
    Kept,
    /// Its result was sent on the present stream.
    Sent { at: Timestamp },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptEvent {
    InputsHad,
    StageReady,
    StageRefused,
    Dispatched { slot: SlotIndex, run: RunId },
    Suspended,
    Resumed,
    SlotEnded,
    Finished { run: RunId },
    Kept,
    Sent { at: Timestamp },
    StreamLost,
    Acknowledged,
    Withdrawn,
    Released,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The event says nothing new.
    Stale,
    Becomes(AttemptState),
    /// The lease is over.
    Gone,
}

impl AttemptState {
    pub(crate) fn next(self, event: AttemptEvent) -> Next {
        use AttemptEvent as E;
        use AttemptState as S;
        use Next::{Becomes, Gone, Stale};
        match (self, event) {
            (_, E::Withdrawn) => Gone,
            (S::Kept | S::Sent { .. }, E::Acknowledged) => Gone,
            (state, E::Released) if state.is_unfinished() => Gone,

            (S::Fetching, E::InputsHad) => Becomes(S::Waiting),
            (S::Waiting, E::StageReady) => Becomes(S::Queued),
            (state, E::StageRefused) if state.is_unfinished() => Becomes(S::Answered),
            (S::Queued, E::Dispatched { slot, run }) => Becomes(S::Running { slot, run }),
            (S::Running { slot, run }, E::Suspended) => Becomes(S::Suspended { slot, run }),
            (S::Suspended { slot, run }, E::Resumed) => Becomes(S::Running { slot, run }),
            (S::Running { .. } | S::Suspended { .. }, E::SlotEnded) => Becomes(S::Queued),
            (
                S::Running { run: current, .. } | S::Suspended { run: current, .. },
                E::Finished { run },
            ) if run == current => Becomes(S::Answered),
            (S::Answered, E::Kept) => Becomes(S::Kept),
            (S::Kept, E::Sent { at }) => Becomes(S::Sent { at }),
            (S::Sent { .. }, E::StreamLost) => Becomes(S::Kept),
            _ => Stale,
        }
    }

    /// Whether it still needs computing.
    pub(crate) fn is_unfinished(self) -> bool {
        !matches!(self, Self::Answered | Self::Kept | Self::Sent { .. })
    }

    /// The slot whose pipe it is in.
    pub(crate) fn slot(self) -> Option<SlotIndex> {
        match self {
            Self::Running { slot, .. } | Self::Suspended { slot, .. } => Some(slot),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use expect_test::expect;

    use super::*;

    /// Every state × event in which something happens; what is not listed is stale.
    #[test]
    fn every_state_and_event() {
        let slot = SlotIndex(0);
        let (run, at) = (RunId(7), Timestamp::from_millis(5));
        let states = [
            AttemptState::Fetching,
            AttemptState::Waiting,
            AttemptState::Queued,
            AttemptState::Running { slot, run },
            AttemptState::Suspended { slot, run },
            AttemptState::Answered,
            AttemptState::Kept,
            AttemptState::Sent { at },
        ];
        let events = [
            AttemptEvent::InputsHad,
            AttemptEvent::StageReady,
            AttemptEvent::StageRefused,
            AttemptEvent::Dispatched { slot, run },
            AttemptEvent::Suspended,
            AttemptEvent::Resumed,
            AttemptEvent::SlotEnded,
            AttemptEvent::Finished { run },
            AttemptEvent::Finished { run: RunId(6) },
            AttemptEvent::Kept,
            AttemptEvent::Sent { at },
            AttemptEvent::StreamLost,
            AttemptEvent::Acknowledged,
            AttemptEvent::Withdrawn,
            AttemptEvent::Released,
        ];
        let mut table = String::new();
        for state in states {
            writeln!(table, "{state:?}").unwrap();
            for event in events {
                match state.next(event) {
                    Next::Stale => {}
                    Next::Gone => writeln!(table, "  {event:?} -> gone").unwrap(),
                    Next::Becomes(next) => writeln!(table, "  {event:?} -> {next:?}").unwrap(),
                }
            }
        }
        expect![[r#"
            Fetching
              InputsHad -> Waiting
              StageRefused -> Answered
              Withdrawn -> gone
              Released -> gone
            Waiting
              StageReady -> Queued
              StageRefused -> Answered
              Withdrawn -> gone
              Released -> gone
            Queued
              StageRefused -> Answered
              Dispatched { slot: SlotIndex(0), run: RunId(7) } -> Running { slot: SlotIndex(0), run: RunId(7) }
              Withdrawn -> gone
              Released -> gone
            Running { slot: SlotIndex(0), run: RunId(7) }
              StageRefused -> Answered
              Suspended -> Suspended { slot: SlotIndex(0), run: RunId(7) }
              SlotEnded -> Queued
              Finished { run: RunId(7) } -> Answered
              Withdrawn -> gone
              Released -> gone
            Suspended { slot: SlotIndex(0), run: RunId(7) }
              StageRefused -> Answered
              Resumed -> Running { slot: SlotIndex(0), run: RunId(7) }
              SlotEnded -> Queued
              Finished { run: RunId(7) } -> Answered
              Withdrawn -> gone
              Released -> gone
            Answered
              Kept -> Kept
              Withdrawn -> gone
            Kept
              Sent { at: Timestamp(5) } -> Sent { at: Timestamp(5) }
              Acknowledged -> gone
              Withdrawn -> gone
            Sent { at: Timestamp(5) }
              StreamLost -> Kept
              Acknowledged -> gone
              Withdrawn -> gone
        "#]].assert_eq(&table);
    }
}

//! The stream to one project's coordinators.
//!
//! ```text
//!             connected                 welcomed
//!   Offline ─────────────► Greeting ───────────────► Open ──┐
//!    ▲ ▲ ▲                  │    │ refused            │ ▲   │ heartbeat
//!    │ │ └── disconnected ──┘    ▼                    │ └───┘
//!    │ └──── disconnected ─── Refused                 │
//!    └────── disconnected ────────────────────────────┘
//! ```
//! A greeting without an answer is ended by its deadline; everything said on a stream is void when
//! it ends, so that the next one starts with nothing asked for and every kept result unsent.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use gleaner_protocol::{AttemptId, Timestamp};

use crate::limits::{
    GREETING_MAX, HEARTBEAT_INTERVAL_MAX, HEARTBEAT_INTERVAL_MIN, RUNNING_SAID_AFTER,
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SessionState {
    /// No stream.
    #[default]
    Offline,
    /// A hello was said and not answered.
    Greeting { deadline: Timestamp },
    /// Work can be asked for.
    Open { heartbeat_at: Timestamp, heartbeat_interval: Duration },
    /// The hello was refused; the stream is about to end.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionEvent {
    Connected,
    Welcomed { heartbeat_interval: Duration },
    Refused,
    HeartbeatDue,
    Disconnected,
}

impl SessionState {
    /// The next state, or none when the event says nothing new.
    pub(crate) fn next(self, now: Timestamp, event: SessionEvent) -> Option<Self> {
        use SessionEvent as E;
        match (self, event) {
            (Self::Offline, E::Connected) => Some(Self::Greeting { deadline: now + GREETING_MAX }),
            (Self::Greeting { .. }, E::Welcomed { heartbeat_interval }) => {
                let heartbeat_interval =
                    heartbeat_interval.clamp(HEARTBEAT_INTERVAL_MIN, HEARTBEAT_INTERVAL_MAX);
                let heartbeat_at = now + heartbeat_interval;
                Some(Self::Open { heartbeat_at, heartbeat_interval })
            }
            (Self::Greeting { .. }, E::Refused) => Some(Self::Refused),
            (Self::Open { heartbeat_interval, .. }, E::HeartbeatDue) => {
                Some(Self::Open { heartbeat_at: now + heartbeat_interval, heartbeat_interval })
            }
            (Self::Greeting { .. } | Self::Open { .. } | Self::Refused, E::Disconnected) => {
                Some(Self::Offline)
            }
            _ => None,
        }
    }
}

/// What is known of one project.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) state: SessionState,
    /// Leases held, in whatever state.
    pub(crate) held: usize,
    /// Kept results not sent on this stream.
    pub(crate) unsent: BTreeSet<AttemptId>,
    /// When the unsent results are to be sent at the latest.
    pub(crate) flush_at: Option<Timestamp>,
    /// Results sent and when, the oldest first; those acknowledged since are still here.
    pub(crate) sent: VecDeque<(Timestamp, AttemptId)>,
    /// What the last request said, if it was said on this stream.
    pub(crate) requested: Option<Requested>,
    /// Since when other attempts run than was said on this stream.
    pub(crate) running_changed_at: Option<Timestamp>,
    /// When it was said last which attempts run.
    running_said_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Requested {
    pub(crate) slots: u32,
    /// Units asked for and not yet come.
    pub(crate) outstanding: u32,
}

impl Session {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, SessionState::Open { .. })
    }

    /// Applies `event`; false when it says nothing new.
    #[must_use]
    pub(crate) fn step(&mut self, now: Timestamp, event: SessionEvent) -> bool {
        let next = self.state.next(now, event);
        self.state = next.unwrap_or(self.state);
        next.is_some()
    }

    /// Other attempts run than before.
    pub(crate) fn on_running_changed(&mut self, now: Timestamp) {
        if self.is_open() {
            self.running_changed_at.get_or_insert(now);
        }
    }

    pub(crate) fn on_running_said(&mut self, now: Timestamp) {
        self.running_changed_at = None;
        self.running_said_at = now;
    }

    /// Whether other attempts run than was said some time ago.
    pub(crate) fn is_running_news(&self, now: Timestamp) -> bool {
        self.running_changed_at.is_some() && self.running_said_at + RUNNING_SAID_AFTER <= now
    }

    /// When it is to be said at the latest that other attempts run.
    pub(crate) fn running_due(&self) -> Option<Timestamp> {
        self.running_changed_at.map(|at| at + RUNNING_SAID_AFTER)
    }

    /// Units that were asked for have come, welcome or not.
    pub(crate) fn on_leased(&mut self, units: usize) {
        if let Some(requested) = &mut self.requested {
            let units = u32::try_from(units).unwrap_or(u32::MAX);
            requested.outstanding = requested.outstanding.saturating_sub(units);
        }
    }

    /// When something must be done for this session though nothing happens.
    pub(crate) fn timeout(&self) -> Option<Timestamp> {
        let state = match self.state {
            SessionState::Offline | SessionState::Refused => None,
            SessionState::Greeting { deadline } => Some(deadline),
            SessionState::Open { heartbeat_at, .. } => Some(heartbeat_at),
        };
        let resend = self.sent.front().map(|(at, _)| *at + crate::limits::RESULT_RESEND_AFTER);
        [state, self.flush_at, resend, self.running_due()].into_iter().flatten().min()
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
        let at = Timestamp::from_millis(1_000);
        let heartbeat_interval = Duration::from_secs(15);
        let states = [
            SessionState::Offline,
            SessionState::Greeting { deadline: at },
            SessionState::Open { heartbeat_at: at, heartbeat_interval },
            SessionState::Refused,
        ];
        let events = [
            SessionEvent::Connected,
            SessionEvent::Welcomed { heartbeat_interval },
            SessionEvent::Welcomed { heartbeat_interval: Duration::ZERO },
            SessionEvent::Refused,
            SessionEvent::HeartbeatDue,
            SessionEvent::Disconnected,
        ];
        let mut table = String::new();
        for state in states {
            writeln!(table, "{state:?}").unwrap();
            for event in events {
                if let Some(next) = state.next(at, event) {
                    writeln!(table, "  {event:?} -> {next:?}").unwrap();
                }
            }
        }
        expect![[r#"
            Offline
              Connected -> Greeting { deadline: Timestamp(21000) }
            Greeting { deadline: Timestamp(1000) }
              Welcomed { heartbeat_interval: 15s } -> Open { heartbeat_at: Timestamp(16000), heartbeat_interval: 15s }
              Welcomed { heartbeat_interval: 0ns } -> Open { heartbeat_at: Timestamp(1100), heartbeat_interval: 100ms }
              Refused -> Refused
              Disconnected -> Offline
            Open { heartbeat_at: Timestamp(1000), heartbeat_interval: 15s }
              HeartbeatDue -> Open { heartbeat_at: Timestamp(16000), heartbeat_interval: 15s }
              Disconnected -> Offline
            Refused
              Disconnected -> Offline
        "#]].assert_eq(&table);
    }
}

//! Every cap and delay of the core, in one place, each with its reason.

use std::time::Duration;

use gleaner_protocol::limits::{
    LEASES_HELD_MAX, LEASES_PER_MESSAGE_MAX, RESULTS_PER_MESSAGE_MAX, SLOTS_MAX,
};

/// How much work waits for the slots. Longer than a round trip, a commit and a lost packet; short
/// enough that what is queued here would not have been done sooner by someone else.
pub const WORK_QUEUED: Duration = Duration::from_millis(1500);

/// The most units waiting for the slots, however short they are.
pub const UNITS_QUEUED_MAX: u32 = 2048;

/// A unit that has run for so long tells how long its like are at least, though none has ended: slots
/// are started in less, even on a busy machine.
pub const UNIT_LONG: Duration = Duration::from_millis(250);

/// How much work is in a slot's pipe at once, so that a slot with short units never waits for us.
/// Long enough to bridge a busy machine's scheduling, short enough that slots end together.
pub const WORK_IN_PIPE: Duration = Duration::from_millis(10);

/// The most units in a slot's pipe at once: past this a prototype's rate grew by less than a tenth.
pub const UNITS_IN_PIPE_MAX: usize = 64;

/// How long results gather before they are sent together. Short beside a commit's fsync.
pub const RESULTS_DELAY: Duration = Duration::from_millis(2);

/// A full batch of results is sent at once.
pub const RESULTS_BATCH: usize = RESULTS_PER_MESSAGE_MAX;

/// A result not acknowledged for so long on one stream is sent again.
pub const RESULT_RESEND_AFTER: Duration = Duration::from_secs(60);

/// A coordinator that does not answer a hello for so long is left alone for now.
pub const GREETING_MAX: Duration = Duration::from_secs(20);

/// The range in which a coordinator may ask for heartbeats.
pub const HEARTBEAT_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// See [`HEARTBEAT_INTERVAL_MIN`].
pub const HEARTBEAT_INTERVAL_MAX: Duration = Duration::from_secs(10 * 60);

/// How long a coordinator may not know that other attempts run than it was told: soon enough for who
/// watches, and about one message a second more while units come and go.
pub const RUNNING_SAID_AFTER: Duration = Duration::from_secs(1);

/// A stage that no slot serves waits at most this long behind others that keep theirs busy.
pub const STAGE_PATIENCE: Duration = Duration::from_secs(5);

/// A slot without work ends after this long and gives its memory back.
pub const SLOT_IDLE_MAX: Duration = Duration::from_secs(10);

/// The most stages remembered between leases.
pub const STAGES_KNOWN_MAX: usize = 1024;

/// The pause after something failed that would fail again at once; doubles up to
/// [`PAUSE_MAX`].
pub const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// See [`PAUSE_FIRST`].
pub const PAUSE_MAX: Duration = Duration::from_secs(60);

const _: () = assert!(UNITS_QUEUED_MAX >= SLOTS_MAX);
const _: () = assert!(UNITS_QUEUED_MAX as usize + SLOTS_MAX as usize <= LEASES_HELD_MAX);
const _: () = assert!(LEASES_PER_MESSAGE_MAX <= UNITS_QUEUED_MAX as usize);
const _: () = assert!(WORK_IN_PIPE.as_millis() < WORK_QUEUED.as_millis());

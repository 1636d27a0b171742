//! Every cap on what travels, in one place, each with its reason.

use std::time::Duration;

use crate::Limits;

/// The longest frame of the work stream and of a slot's pipe. Room for one message of
/// [`LEASES_PER_MESSAGE_MAX`] leases; small enough that a stranger cannot make us hold much.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Inputs and outputs of a unit up to this size travel inside messages, larger ones as blobs.
/// A round trip for a blob costs more than copying this much.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// The most leases in one message: enough to fill a worker in one round trip.
pub const LEASES_PER_MESSAGE_MAX: usize = 128;

/// The most results in one message, bounded so that a full batch always fits in a frame.
pub const RESULTS_PER_MESSAGE_MAX: usize = 128;

/// The most leases a worker may hold at once.
pub const LEASES_HELD_MAX: usize = 4096;

/// The most items in one unit: bounds what a lease and a result carry.
pub const ITEMS_PER_UNIT_MAX: u64 = 4096;

/// The most slots one worker may offer.
pub const SLOTS_MAX: u32 = 1024;

/// The largest blob: a module, a file of a job, a unit's output.
pub const BLOB_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

/// The outputs of one unit together, in bytes: a worker and its coordinator hold them in memory
/// before they are a blob. One output at its own limit always fits.
pub const UNIT_OUTPUT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The longest record of a file that is an item: a line, a row, a sequence. Whoever cuts a file
/// holds one in memory.
pub const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The least and the most that a piece of bytes may be asked to have.
pub const PIECE_BYTES_MIN: u64 = 1;
/// See [`PIECE_BYTES_MIN`].
pub const PIECE_BYTES_MAX: u64 = RECORD_BYTES_MAX as u64;

/// The most items that a split function may give: numbers of them that a person would write out,
/// and an index of 80 MB. What has more has a rule, which a range and the task can say.
pub const SPLIT_ITEMS_MAX: u64 = 10_000_000;

/// What a split function may give in all: the coordinator holds it in memory while it is checked,
/// that of one job at a time.
pub const SPLIT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How long a split function may take: its submitter waits for the answer.
pub const SPLIT_TIME_MAX: Duration = Duration::from_secs(2 * 60);

/// The most files that are an item each in one stage: their names and hashes are part of the job.
pub const EACH_FILES_MAX: usize = 10_000;

/// The largest file that is an item: a worker holds it in memory, and its task does so again.
pub const EACH_FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The most that the inputs of a unit should take together: the coordinator and a slot hold them in
/// memory. A unit has fewer items where they are so long; one longer than this is one alone.
pub const UNIT_INPUT_BYTES_TARGET: u64 = 64 * 1024 * 1024;

/// The largest module in bytes of WebAssembly.
pub const MODULE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The log of one unit that travels with its result, in bytes; what comes after is cut off.
pub const UNIT_LOG_BYTES_MAX: usize = 64 * 1024;

/// The message of a failed task that is kept, in bytes.
pub const FAILURE_MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// The message of an item that failed while its unit went on, in bytes; what comes after is cut off.
/// A unit may have as many as it has items.
pub const ITEM_FAILURE_MESSAGE_BYTES_MAX: usize = 256;

/// The failures of the items of one unit, in bytes of MessagePack with the names of the fields.
pub const UNIT_FAILURES_BYTES_MAX: usize =
    ITEMS_PER_UNIT_MAX as usize * (ITEM_FAILURE_MESSAGE_BYTES_MAX + 128);

/// The most stages in a job.
pub const STAGES_MAX: usize = 64;

/// The most items in a stage: item numbers then fit where a signed 64-bit integer is all there is.
pub const ITEMS_MAX: u64 = i64::MAX as u64;

/// The highest number of a job, a unit or an invitation, for the same reason.
pub const ID_MAX: u64 = i64::MAX as u64;

/// The most files a stage may share among its units.
pub const STAGE_FILES_MAX: usize = 256;

/// The most attempts of a unit that end without an answer before its job is given up.
pub const ATTEMPTS_MAX: u32 = 100;

/// How far from 0 a job's priority may be: room to order jobs in, few enough digits to read.
pub const PRIORITY_MAX: i32 = 1000;

/// The most agreeing results a job may ask for.
pub const QUORUM_MAX: u32 = 16;

/// The longest name of a job, stage, function, file or parameter, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// The longest address that a job's news may be sent to, in bytes: what browsers take.
pub const NOTIFY_URL_BYTES_MAX: usize = 2048;

/// The most words of a command that is told a job's news.
pub const NOTIFY_COMMAND_WORDS_MAX: usize = 64;

/// All words of such a command, in bytes.
pub const NOTIFY_COMMAND_BYTES_MAX: usize = 4096;

/// How long a lease lasts unless a heartbeat extends it.
pub const LEASE_DURATION: Duration = Duration::from_secs(60);

/// How often a worker speaks for the leases it holds. Three may be lost before a lease expires.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

const _: () = assert!(LEASES_PER_MESSAGE_MAX * INLINE_BYTES_MAX * 3 / 2 < FRAME_BYTES_MAX);
const _: () = assert!(
    RESULTS_PER_MESSAGE_MAX * (INLINE_BYTES_MAX + FAILURE_MESSAGE_BYTES_MAX) * 3 / 2
        < FRAME_BYTES_MAX
);
const _: () = assert!(PIECE_BYTES_MIN < PIECE_BYTES_MAX);
const _: () = assert!(SPLIT_BYTES_MAX <= Limits::OUTPUT_BYTES_MAX);
// A name and a hash take about 200 bytes of JSON; a submission is one body of at most a frame.
const _: () = assert!(EACH_FILES_MAX * (NAME_BYTES_MAX + 300) < FRAME_BYTES_MAX);
const _: () = assert!(HEARTBEAT_INTERVAL.as_secs() * 4 <= LEASE_DURATION.as_secs());
const _: () = assert!(LEASES_PER_MESSAGE_MAX <= LEASES_HELD_MAX);
const _: () = assert!(UNIT_OUTPUT_BYTES_MAX >= Limits::OUTPUT_BYTES_MAX);
// Each output has a header of at most 5 bytes in a blob, and so has their list.
const _: () = assert!(UNIT_OUTPUT_BYTES_MAX + (ITEMS_PER_UNIT_MAX + 1) * 5 <= BLOB_BYTES_MAX);

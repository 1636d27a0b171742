//! What a worker and its slot say to each other over the slot's two pipes.
//!
//! ```text
//! worker                                   slot
//!   Setup ──────────────────────────────────►
//!   ◄──────────────────────── Ready | NotReady
//!   UnitHead, its items' bytes ─────────────►      (as many as the pipe takes)
//!   ◄──────────────── Progress; Outputs, bytes
//!   ◄──────────────────────────── Ended, bytes     (one for each unit, in order)
//! ```
//! Each message is a frame of [`wire`]; the bytes of items and outputs follow it raw, as long as it
//! says, so that no frame grows with them. A slot may have been taken over by its guest: the worker
//! believes no length beyond the unit's own limits, and takes no byte of a unit whose outputs are
//! too much together.

use std::time::Duration;

use gleaner_protocol::limits::{
    FAILURE_MESSAGE_BYTES_MAX, FRAME_BYTES_MAX, ITEM_FAILURE_MESSAGE_BYTES_MAX, ITEMS_PER_UNIT_MAX,
    UNIT_LOG_BYTES_MAX, UNIT_OUTPUT_BYTES_MAX,
};
use gleaner_protocol::{ItemFailure, Limits, OnFailure, Outcome, wire};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::Entry;
use crate::wall::WallError;

/// What a slot serves: the first message to it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) entry: Entry,
    pub(crate) parameters: ByteBuf,
    /// The names of the shared files, in the order of their descriptors.
    pub(crate) files: Vec<String>,
    pub(crate) limits: Limits,
    pub(crate) on_failure: OnFailure,
}

/// A unit; the bytes of its items follow.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UnitHead {
    pub(crate) first_item: u64,
    pub(crate) seeds: Vec<u64>,
    pub(crate) lengths: Vec<u64>,
}

/// What a slot says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromSlot {
    /// The walls are up and the module is loaded.
    Ready,
    /// Something of that failed; the slot ends.
    NotReady(StartFailure),
    /// How much of the running unit is done, from 0 to 1.
    Progress(f32),
    /// Outputs of the running unit's next items; their bytes follow.
    Outputs { lengths: Vec<u64> },
    /// The running unit has ended: the rest of its outputs, whose bytes follow, and the items that
    /// failed on the way; or why it stopped.
    Ended {
        lengths: Vec<u64>,
        failures: Vec<ItemFailure>,
        stopped: Option<Outcome>,
        cpu: Duration,
        log: String,
    },
}

/// Why a slot is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StartFailure {
    /// The host cannot give a wall.
    Wall(WallError),
    /// The module has no such function.
    NoEntry,
    /// The compiled module cannot be loaded here.
    Module(String),
    /// The worker's setup could not be read.
    Setup(String),
}

/// A message from a slot with the bytes that belong to it.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    Ready,
    NotReady(StartFailure),
    Progress(f32),
    Outputs(Vec<ByteBuf>),
    Ended {
        outputs: Vec<ByteBuf>,
        failures: Vec<ItemFailure>,
        stopped: Option<Outcome>,
        cpu: Duration,
        log: String,
    },
}

/// How a slot broke the rules above.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Violation {
    #[error("it sent what is no message: {0}")]
    Frame(#[from] wire::DecodeError),
    #[error("it announced an output of {bytes} bytes; the limit is {max}")]
    OutputLength { bytes: u64, max: u64 },
    #[error("the unit's outputs together passed {max} bytes; use a smaller unit_items")]
    UnitOutputs { max: u64 },
    #[error("it announced {outputs} outputs at once; the limit is {max}")]
    OutputCount { outputs: usize, max: u64 },
    #[error("it sent words of {bytes} bytes; the limit is {max}")]
    WordsLength { bytes: usize, max: usize },
    #[error("it spoke out of turn")]
    OutOfTurn,
}

/// Puts the bytes from a slot together again: bytes in, events out.
#[derive(Debug)]
pub(crate) struct Decoder {
    output_bytes_max: u64,
    unit_output_bytes_max: u64,
    /// The outputs that the running unit has announced, in bytes.
    unit_output_bytes: u64,
    buffer: Vec<u8>,
    /// How much of `buffer` has been used.
    used: usize,
    body: Option<Body>,
}

/// A message whose bytes are still arriving.
#[derive(Debug)]
struct Body {
    message: FromSlot,
    /// All its outputs, in bytes.
    output_bytes: u64,
    lengths: std::vec::IntoIter<u64>,
    done: Vec<ByteBuf>,
    current: Vec<u8>,
    /// How much of the current output is missing.
    missing: usize,
}

impl Decoder {
    pub(crate) fn new(output_bytes_max: u64) -> Self {
        Self {
            output_bytes_max,
            unit_output_bytes_max: UNIT_OUTPUT_BYTES_MAX,
            unit_output_bytes: 0,
            buffer: Vec::new(),
            used: 0,
            body: None,
        }
    }

    /// Takes what was read from the slot.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.used == self.buffer.len() {
            self.buffer.clear();
        } else {
            self.buffer.drain(..self.used);
        }
        self.used = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, Violation> {
        loop {
            if let Some(mut body) = self.body.take() {
                self.used += body.fill(&self.buffer[self.used..]);
                if body.missing > 0 {
                    self.body = Some(body);
                    return Ok(None);
                }
                return Ok(Some(body.into_event()));
            }
            let Some(message) = self.next_frame()? else { return Ok(None) };
            match message {
                FromSlot::Ready => return Ok(Some(Event::Ready)),
                FromSlot::NotReady(failure) => return Ok(Some(Event::NotReady(failure))),
                FromSlot::Progress(fraction) => return Ok(Some(Event::Progress(fraction))),
                message @ (FromSlot::Outputs { .. } | FromSlot::Ended { .. }) => {
                    let ended = matches!(message, FromSlot::Ended { .. });
                    let body = Body::new(message, self.output_bytes_max)?;
                    self.count_outputs(body.output_bytes)?;
                    self.body = Some(body);
                    if ended {
                        self.unit_output_bytes = 0;
                    }
                }
            }
        }
    }

    /// Before their bytes arrive: what is too much is never held.
    fn count_outputs(&mut self, bytes: u64) -> Result<(), Violation> {
        self.unit_output_bytes = self.unit_output_bytes.saturating_add(bytes);
        if self.unit_output_bytes > self.unit_output_bytes_max {
            return Err(Violation::UnitOutputs { max: self.unit_output_bytes_max });
        }
        Ok(())
    }

    fn next_frame(&mut self) -> Result<Option<FromSlot>, Violation> {
        let rest = &self.buffer[self.used..];
        let Some((header, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let length = wire::frame_length(*header, FRAME_BYTES_MAX)?;
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let message = wire::decode(frame)?;
        self.used += wire::FRAME_HEADER_BYTES + length;
        Ok(Some(message))
    }
}

impl Body {
    fn new(mut message: FromSlot, output_bytes_max: u64) -> Result<Self, Violation> {
        let lengths = match &mut message {
            FromSlot::Outputs { lengths } => std::mem::take(lengths),
            FromSlot::Ended { lengths, failures, stopped, log, .. } => {
                check_words(log, UNIT_LOG_BYTES_MAX)?;
                for failure in failures {
                    check_words(&failure.message, ITEM_FAILURE_MESSAGE_BYTES_MAX)?;
                }
                check_outcome(stopped.as_ref())?;
                std::mem::take(lengths)
            }
            _ => return Err(Violation::OutOfTurn),
        };
        if lengths.len() as u64 > ITEMS_PER_UNIT_MAX {
            return Err(Violation::OutputCount { outputs: lengths.len(), max: ITEMS_PER_UNIT_MAX });
        }
        if let Some(bytes) = lengths.iter().copied().find(|bytes| *bytes > output_bytes_max) {
            return Err(Violation::OutputLength { bytes, max: output_bytes_max });
        }
        let done = Vec::with_capacity(lengths.len());
        let output_bytes = lengths.iter().fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
        let lengths = lengths.into_iter();
        let mut body =
            Self { message, output_bytes, lengths, done, current: Vec::new(), missing: 0 };
        body.next_output();
        Ok(body)
    }

    /// Takes what belongs to it from `bytes` and says how much that was.
    fn fill(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while self.missing > 0 && used < bytes.len() {
            let taken = self.missing.min(bytes.len() - used);
            self.current.extend_from_slice(&bytes[used..used + taken]);
            used += taken;
            self.missing -= taken;
            if self.missing == 0 {
                self.done.push(ByteBuf::from(std::mem::take(&mut self.current)));
                self.next_output();
            }
        }
        used
    }

    /// Begins with the next output that has any bytes.
    fn next_output(&mut self) {
        for length in self.lengths.by_ref() {
            if length > 0 {
                self.missing = length as usize;
                // What is announced is not believed: memory grows with what arrives.
                self.current = Vec::with_capacity(self.missing.min(64 * 1024));
                return;
            }
            self.done.push(ByteBuf::new());
        }
    }

    fn into_event(self) -> Event {
        match self.message {
            FromSlot::Ended { failures, stopped, cpu, log, .. } => {
                Event::Ended { outputs: self.done, failures, stopped, cpu, log }
            }
            _ => Event::Outputs(self.done),
        }
    }
}

fn check_outcome(stopped: Option<&Outcome>) -> Result<(), Violation> {
    match stopped {
        Some(Outcome::Completed { .. }) => Err(Violation::OutOfTurn),
        Some(Outcome::Failed { message, .. } | Outcome::Trapped { message, .. }) => {
            check_words(message, FAILURE_MESSAGE_BYTES_MAX)
        }
        Some(Outcome::Refused { reason: words } | Outcome::SlotCrashed { status: words }) => {
            check_words(words, FAILURE_MESSAGE_BYTES_MAX)
        }
        _ => Ok(()),
    }
}

fn check_words(words: &str, max: usize) -> Result<(), Violation> {
    match words.len() {
        bytes if bytes > max => Err(Violation::WordsLength { bytes, max }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(lengths: Vec<u64>) -> Vec<u8> {
        let cpu = Duration::from_millis(5);
        let (failures, stopped, log) = (Vec::new(), None, "l".into());
        wire::encode_frame(&FromSlot::Ended { lengths, failures, stopped, cpu, log })
    }

    #[test]
    fn messages_arrive_whole_however_the_bytes_are_cut() {
        let mut bytes = wire::encode_frame(&FromSlot::Ready);
        bytes.extend(wire::encode_frame(&FromSlot::Outputs { lengths: vec![0, 3, 0] }));
        bytes.extend(b"abc");
        bytes.extend(ended(vec![2, 0]));
        bytes.extend(b"de");
        bytes.extend(wire::encode_frame(&FromSlot::Progress(0.5)));
        let items = |list: &[&[u8]]| list.iter().map(|item| ByteBuf::from(*item)).collect();
        let expected = vec![
            Event::Ready,
            Event::Outputs(items(&[b"", b"abc", b""])),
            Event::Ended {
                outputs: items(&[b"de", b""]),
                failures: Vec::new(),
                stopped: None,
                cpu: Duration::from_millis(5),
                log: "l".into(),
            },
            Event::Progress(0.5),
        ];
        for size in 1..=bytes.len() {
            let mut decoder = Decoder::new(3);
            let mut events = vec![];
            for piece in bytes.chunks(size) {
                decoder.push(piece);
                while let Some(event) = decoder.next().expect("valid") {
                    events.push(event);
                }
            }
            assert_eq!(events, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn lengths_beyond_the_limits_are_not_believed() {
        let check = |frame: Vec<u8>| {
            let mut decoder = Decoder::new(3);
            decoder.push(&frame);
            decoder.next().expect_err("a violation")
        };
        assert!(matches!(check(ended(vec![4])), Violation::OutputLength { bytes: 4, max: 3 }));
        assert!(matches!(check(ended(vec![0; 5000])), Violation::OutputCount { .. }));
        assert!(matches!(check(vec![255; 8]), Violation::Frame(_)));
    }
    #[test]
    fn a_units_outputs_are_bounded_together() {
        let outputs = |lengths: Vec<u64>| {
            let bytes = lengths.iter().sum::<u64>() as usize;
            let mut frame = wire::encode_frame(&FromSlot::Outputs { lengths });
            frame.resize(frame.len() + bytes, b'o');
            frame
        };
        let mut decoder = Decoder { unit_output_bytes_max: 8, ..Decoder::new(3) };
        let mut next = |bytes: &[u8]| {
            decoder.push(bytes);
            decoder.next()
        };
        for _ in 0..2 {
            assert!(matches!(next(&outputs(vec![3, 3])), Ok(Some(Event::Outputs(_)))));
            let end = [&ended(vec![2])[..], b"oo"].concat();
            assert!(matches!(next(&end), Ok(Some(Event::Ended { .. }))), "8 bytes are allowed");
        }
        assert!(matches!(next(&outputs(vec![3, 3])), Ok(Some(Event::Outputs(_)))));
        let words = "the unit's outputs together passed 8 bytes; use a smaller unit_items";
        let violation = next(&ended(vec![1, 2])).expect_err("9 bytes, none of which has arrived");
        assert_eq!(violation.to_string(), words);
    }
}

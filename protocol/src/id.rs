//! Identifiers: newtypes that print with a prefix and parse back.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::ID_MAX;

/// Why a printed id could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {kind} id: expected the form `{example}`")]
pub struct ParseIdError {
    text: String,
    kind: &'static str,
    example: &'static str,
}

/// An id is a string for people (JSON) and plain numbers for machines (MessagePack).
macro_rules! serde_by_reader {
    ($id:ident as $wire:ty, $to:expr, $from:expr) => {
        impl ::serde::Serialize for $id {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    return serializer.collect_str(self);
                }
                let to: fn(&$id) -> $wire = $to;
                ::serde::Serialize::serialize(&to(self), serializer)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $id {
            fn deserialize<D: ::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = <String as ::serde::Deserialize>::deserialize(deserializer)?;
                    return text.parse().map_err(::serde::de::Error::custom);
                }
                let from: fn($wire) -> $id = $from;
                <$wire as ::serde::Deserialize>::deserialize(deserializer).map(from)
            }
        }
    };
}
pub(crate) use serde_by_reader;

/// A job of one project, numbered from 1 in the order of submission: `job-7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// A work unit, numbered within its job across all its stages: `unit-7.42`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId {
    /// The job the unit belongs to.
    pub job: JobId,
    /// The unit's number within the job, from 0 in the order of cutting.
    pub number: u64,
}

/// One execution of a unit by one worker: `attempt-7.42.1`; numbers grow and never recur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The unit executed.
    pub unit: UnitId,
    /// The attempt's number within the unit, from 1.
    pub number: u32,
}

/// An invitation into one project, numbered from 1 in the order of making: `invitation-3`. It is
/// no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvitationId(pub u64);

/// A stage's position in its job, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageIndex(pub u32);

/// How often the coordinator has started on its store; part of every lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// The submitter's own name for a submission, so that a repeat returns the same job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubmissionId(pub u128);

/// Consecutive items of a stage, `start` included, `end` not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ItemRange {
    /// The first item.
    pub start: u64,
    /// One past the last item.
    pub end: u64,
}

impl ItemRange {
    /// The number of items; 0 when `end` is not after `start`.
    pub const fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether the range has no item.
    pub const fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

impl fmt::Display for ItemRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job-{}", self.0)
    }
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unit-{}.{}", self.job.0, self.number)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt-{}.{}.{}", self.unit.job.0, self.unit.number, self.number)
    }
}

impl fmt::Display for InvitationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invitation-{}", self.0)
    }
}

impl fmt::Display for StageIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage-{}", self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch-{}", self.0)
    }
}

impl fmt::Display for SubmissionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "submission-{:032x}", self.0)
    }
}

impl FromStr for JobId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let [job] = numbers(text, "job-").ok_or_else(|| parse_error(text, "job", "job-7"))?;
        Ok(Self(job))
    }
}

impl FromStr for InvitationId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || parse_error(text, "invitation", "invitation-3");
        let [invitation] = numbers(text, "invitation-").ok_or_else(error)?;
        Ok(Self(invitation))
    }
}

impl FromStr for UnitId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let [job, number] =
            numbers(text, "unit-").ok_or_else(|| parse_error(text, "unit", "unit-7.42"))?;
        Ok(Self { job: JobId(job), number })
    }
}

impl FromStr for AttemptId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = || parse_error(text, "attempt", "attempt-7.42.1");
        let [job, unit, number] = numbers(text, "attempt-").ok_or_else(error)?;
        let number = u32::try_from(number).map_err(|_| error())?;
        Ok(Self { unit: UnitId { job: JobId(job), number: unit }, number })
    }
}

impl FromStr for SubmissionId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error =
            || parse_error(text, "submission", "submission-00112233445566778899aabbccddeeff");
        let digits = text.strip_prefix("submission-").ok_or_else(error)?;
        if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(error());
        }
        u128::from_str_radix(digits, 16).map(Self).map_err(|_| error())
    }
}

/// Exactly `N` decimal numbers separated by dots after `prefix`, none over [`ID_MAX`].
fn numbers<const N: usize>(text: &str, prefix: &str) -> Option<[u64; N]> {
    let mut parts = text.strip_prefix(prefix)?.split('.');
    let mut numbers = [0; N];
    for number in &mut numbers {
        let part = parts.next()?;
        if !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok().filter(|number| *number <= ID_MAX)?;
    }
    parts.next().is_none().then_some(numbers)
}

impl ParseIdError {
    pub(crate) fn new(text: &str, kind: &'static str, example: &'static str) -> Self {
        Self { text: text.to_owned(), kind, example }
    }
}

fn parse_error(text: &str, kind: &'static str, example: &'static str) -> ParseIdError {
    ParseIdError::new(text, kind, example)
}

serde_by_reader!(JobId as u64, |id| id.0, JobId);
serde_by_reader!(InvitationId as u64, |id| id.0, InvitationId);
serde_by_reader!(UnitId as (u64, u64), |id| (id.job.0, id.number), |(job, number)| UnitId {
    job: JobId(job),
    number
});
serde_by_reader!(AttemptId as (UnitId, u32), |id| (id.unit, id.number), |(unit, number)| {
    AttemptId { unit, number }
});
serde_by_reader!(SubmissionId as [u8; 16], |id| id.0.to_be_bytes(), |bytes| SubmissionId(
    u128::from_be_bytes(bytes)
));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_with_a_prefix_and_parse_back() {
        let attempt = AttemptId { unit: UnitId { job: JobId(7), number: 42 }, number: 1 };
        assert_eq!(attempt.to_string(), "attempt-7.42.1");
        assert_eq!("attempt-7.42.1".parse(), Ok(attempt));
        assert_eq!("unit-7.42".parse(), Ok(attempt.unit));
        assert_eq!("job-7".parse(), Ok(attempt.unit.job));
        let submission = SubmissionId(0xabc);
        assert_eq!(submission.to_string().parse(), Ok(submission));
    }

    #[test]
    fn what_is_not_an_id_is_refused_with_the_form() {
        for text in
            ["7", "job-", "job--7", "job-+7", "job-7.1", "unit-7", "attempt-1.2.99999999999"]
        {
            let job = text.parse::<JobId>().is_err() || text == "job-7";
            assert!(job && text.parse::<UnitId>().is_err() && text.parse::<AttemptId>().is_err());
        }
        assert!("unit-7.9223372036854775807".parse::<UnitId>().is_ok());
        for text in ["unit-7.9223372036854775808", "unit-9223372036854775808.1"] {
            assert!(text.parse::<UnitId>().is_err(), "no store holds {text}");
        }
        let error = "unit-7".parse::<UnitId>().expect_err("a unit id has two numbers");
        assert_eq!(error.to_string(), "`unit-7` is no unit id: expected the form `unit-7.42`");
    }

    #[test]
    fn ids_are_strings_in_json_and_numbers_on_the_wire() {
        let unit = UnitId { job: JobId(7), number: 42 };
        assert_eq!(serde_json::to_string(&unit).expect("serializes"), "\"unit-7.42\"");
        assert_eq!(crate::wire::encode(&unit), [0x92, 7, 42]);
        assert_eq!(crate::wire::decode::<UnitId>(&[0x92, 7, 42]).expect("decodes"), unit);
    }
}

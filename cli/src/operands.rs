//! What several commands are told, and how it is read.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use gleaner_coordinator::NetworkFolders;
use gleaner_protocol::manifest::{parse_duration, parse_size};
use gleaner_protocol::{JobId, ParseIdError, UnitId};

/// How far from this machine peers are looked for and listened to.
#[derive(Debug, Args)]
pub struct Reach {
    /// Stay on this machine: listen and call on loopback only
    #[arg(long)]
    pub loopback: bool,
    /// Do not look for peers on the local network by mDNS
    #[arg(long)]
    pub no_mdns: bool,
}

/// Where data may lie.
#[derive(Clone, Copy, Debug, Args)]
pub struct DataPlace {
    /// Let the data folder lie on a network file system; safe only while no other machine uses it
    #[arg(long)]
    pub allow_network_folder: bool,
}

impl DataPlace {
    /// The same for the libraries.
    pub fn network_folders(self) -> NetworkFolders {
        if self.allow_network_folder { NetworkFolders::Allow } else { NetworkFolders::Refuse }
    }
}

/// Which job.
#[derive(Debug, Args)]
pub struct Job {
    /// The job, as job-7, 7 or its name: of several of one name the newest
    #[arg(value_parser = job_ref)]
    pub job: JobRef,
}

/// A job as its submitter calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobRef {
    /// By its id.
    Id(JobId),
    /// By its name: the newest of that name.
    Name(String),
}

/// A job by its id, its number or its name. What looks like an id is one; whether there is a job
/// of a name, the coordinator knows.
///
/// # Errors
/// When it can be none of them.
pub fn job_ref(text: &str) -> Result<JobRef, ParseIdError> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("job-{text}").parse().map(JobRef::Id);
    }
    Ok(text.parse().map_or_else(|_| JobRef::Name(text.to_owned()), JobRef::Id))
}

/// A unit by its id or its numbers.
///
/// # Errors
/// When it is neither.
pub fn unit_id(text: &str) -> Result<UnitId, ParseIdError> {
    format!("unit-{text}").parse().or_else(|_| text.parse())
}

/// What can be asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A job.
    Job(JobRef),
    /// A unit.
    Unit(UnitId),
    /// A worker, by its key or the first letters of it.
    Worker(String),
}

/// A worker, a unit or a job, by what it looks like.
///
/// # Errors
/// When it can be none of them.
pub fn subject(text: &str) -> Result<Subject, ParseIdError> {
    if text.starts_with("worker-") {
        return Ok(Subject::Worker(text.to_owned()));
    }
    unit_id(text).map(Subject::Unit).or_else(|_| job_ref(text).map(Subject::Job))
}

/// A duration longer than nothing.
///
/// # Errors
/// What to write instead.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    match parse_duration(text) {
        Some(Duration::ZERO) => Err("it must be longer than nothing"),
        Some(duration) => Ok(duration),
        None => Err("write a whole number and one of s, min, h, d, such as 12h"),
    }
}

/// A whole number within bounds, both included.
pub fn whole<T>(min: T, max: T) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: Copy + Display + FromStr + PartialOrd,
{
    move |text| {
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| format!("write a whole number from {min} to {max}"))
    }
}

/// A size in bytes.
///
/// # Errors
/// What to write instead.
pub fn size(text: &str) -> Result<u64, &'static str> {
    parse_size(text)
        .ok_or("write a whole number and one of B, kB, MB, GB, KiB, MiB, GiB, such as 10GB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_called_by_its_id_its_number_or_its_name() {
        assert_eq!(job_ref("job-7"), Ok(JobRef::Id(JobId(7))));
        assert_eq!(job_ref("7"), Ok(JobRef::Id(JobId(7))));
        for name in ["job", "-7", "7.1", "planets", "job-7a"] {
            assert_eq!(job_ref(name), Ok(JobRef::Name(name.into())));
        }
        for text in ["", "99999999999999999999"] {
            assert!(job_ref(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_subject_is_told_by_its_looks() {
        let unit = UnitId { job: JobId(7), number: 42 };
        assert_eq!(subject("7.42"), Ok(Subject::Unit(unit)));
        assert_eq!(subject("7"), Ok(Subject::Job(JobRef::Id(JobId(7)))));
        assert_eq!(subject("planets"), Ok(Subject::Job(JobRef::Name("planets".into()))));
        assert_eq!(subject("worker-ab"), Ok(Subject::Worker("worker-ab".into())));
        assert!(subject("").is_err());
    }

    #[test]
    fn a_whole_number_is_within_its_bounds() {
        let whole = whole(-3, 10);
        assert_eq!([whole("-3"), whole("10")], [Ok(-3), Ok(10)]);
        for text in ["", "-4", "11", "1.5", "x", "99999999999999999999"] {
            assert_eq!(whole(text), Err("write a whole number from -3 to 10".into()), "{text:?}");
        }
    }

    #[test]
    fn a_unit_is_called_by_its_id_or_its_numbers() {
        let unit = UnitId { job: JobId(7), number: 42 };
        assert_eq!(unit_id("unit-7.42"), Ok(unit));
        assert_eq!(unit_id("7.42"), Ok(unit));
        for text in ["", "7", "unit-7", "job-7.42", "7.42.1"] {
            assert!(unit_id(text).is_err(), "{text:?}");
        }
    }
}

//! What several commands are told, and how it is read.

use std::time::Duration;

use clap::Args;
use gleaner_protocol::manifest::parse_duration;
use gleaner_protocol::{JobId, ParseIdError};

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

/// Which job.
#[derive(Debug, Args)]
pub struct Job {
    /// The job, as job-7 or 7
    #[arg(value_parser = job_id)]
    pub job: JobId,
}

/// A job by its id or its number.
///
/// # Errors
/// When it is neither.
pub fn job_id(text: &str) -> Result<JobId, ParseIdError> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("job-{text}").parse();
    }
    text.parse()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_by_its_id_or_its_number() {
        assert_eq!(job_id("job-7"), Ok(JobId(7)));
        assert_eq!(job_id("7"), Ok(JobId(7)));
        for text in ["", "job", "-7", "7.1", "99999999999999999999"] {
            assert!(job_id(text).is_err(), "{text:?}");
        }
    }
}

//! What can be said on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use gleaner_protocol::manifest::parse_duration;
use gleaner_protocol::{JobId, ParseIdError, Ticket};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the operation failed
  2  the command line is wrong
  3  the job failed
  4  the job was cancelled
  5  the coordinator cannot be reached

Example, on one machine without a server:
  gleaner run jobs/planets/job.toml -o planets";

/// Turns idle computers into one large, trustworthy computer.
#[derive(Debug, Parser)]
#[command(name = "gleaner", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Arguments {
    /// The data folder; `coordinator/` and `worker/` lie in it [default: gleaner in the user's
    /// data folder]
    #[arg(
        long,
        value_name = "DIR",
        env = "GLEANER_DATA",
        hide_env_values = true,
        global = true,
        hide_default_value = true
    )]
    pub data: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
    /// Log more to stderr; twice for each attempt, three times for each message (RUST_LOG has the
    /// last word)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, start and share a project's coordinator
    #[command(
        subcommand,
        after_help = "Example:\n  gleaner coordinator init --name planets\n  gleaner coordinator start"
    )]
    Coordinator(CoordinatorCommand),
    /// Lend this machine to projects
    #[command(subcommand, after_help = "Example:\n  gleaner worker start --join gleaner1…")]
    Worker(WorkerCommand),
    /// Look after a project's key
    #[command(subcommand, after_help = "Example:\n  gleaner project sign --valid 365d")]
    Project(ProjectCommand),
    /// Hand a job to the coordinator
    #[command(after_help = "Example:\n  gleaner submit job.toml --wait")]
    Submit(Submit),
    /// List the jobs, newest first
    #[command(after_help = "Example:\n  gleaner jobs")]
    Jobs,
    /// Say where a job stands
    #[command(after_help = "Example:\n  gleaner status job-7")]
    Status(Job),
    /// Follow a job until it ends
    #[command(
        after_help = "With --json: one line of JSON for each change.\n\nExample:\n  gleaner watch job-7"
    )]
    Watch(Job),
    /// Fetch a job's output
    #[command(
        after_help = "Files are put into DIR/STAGE/NAME, each whole and verified or not at all.\n\n\
                      Example:\n  gleaner results job-7 -o planets"
    )]
    Results(Results),
    /// End a job
    #[command(after_help = "Example:\n  gleaner cancel job-7")]
    Cancel(Job),
    /// Run a job on this machine alone, with no server: the same bytes come out
    #[command(after_help = "Example:\n  gleaner run job.toml -o planets")]
    Run(Run),
}

#[derive(Debug, Subcommand)]
pub enum CoordinatorCommand {
    /// Make a project: its key, its record and this machine's own key
    #[command(
        after_help = "Example:\n  gleaner coordinator init --name planets --operator 'Ada, Astronomy' \\\n    --purpose 'looks for planets of nearby stars'"
    )]
    Init(Init),
    /// Run the coordinator until it is stopped
    #[command(after_help = "Example:\n  gleaner coordinator start")]
    Start(CoordinatorStart),
    /// Print a ticket that lets workers join
    #[command(after_help = "Example:\n  gleaner coordinator invite --valid 7d")]
    Invite(Invite),
}

#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// Work until it is stopped
    #[command(after_help = "The first time with a ticket; the project is remembered.\n\n\
                      Example:\n  gleaner worker start --join gleaner1…\n  gleaner worker start --slots 2")]
    Start(WorkerStart),
}

#[derive(Debug, Subcommand)]
pub enum ProjectCommand {
    /// Sign the project's record anew, before it ends
    #[command(after_help = "Example:\n  gleaner project sign --valid 365d")]
    Sign(Sign),
}

#[derive(Debug, Args)]
pub struct Init {
    /// The project's name, as volunteers see it
    #[arg(long, default_value = "lab")]
    pub name: String,
    /// Who runs it [default: this user's name]
    #[arg(long)]
    pub operator: Option<String>,
    /// What it computes, in a sentence
    #[arg(long, default_value = "not said yet")]
    pub purpose: String,
}

#[derive(Debug, Args)]
pub struct CoordinatorStart {
    /// The port for workers, UDP and TCP; 0 is any free one [default: 4747]
    #[arg(long)]
    pub port: Option<u16>,
    /// The port of the control API on loopback; 0 is any free one [default: 4748]
    #[arg(long)]
    pub api_port: Option<u16>,
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(Debug, Args)]
pub struct WorkerStart {
    /// Join the project of this ticket first
    #[arg(long, value_name = "TICKET")]
    pub join: Option<Ticket>,
    /// How many units to run at once [default: one for each CPU]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(gleaner_protocol::limits::SLOTS_MAX)))]
    pub slots: Option<u32>,
    /// The port for peers, UDP and TCP [default: any free one]
    #[arg(long)]
    pub port: Option<u16>,
    #[command(flatten)]
    pub reach: Reach,
}

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

#[derive(Debug, Args)]
pub struct Invite {
    /// How long the ticket can be used, such as 12h or 7d
    #[arg(long, default_value = "7d", value_parser = duration)]
    pub valid: Duration,
}

#[derive(Debug, Args)]
pub struct Sign {
    /// How long the record holds, such as 90d
    #[arg(long, default_value = "365d", value_parser = duration)]
    pub valid: Duration,
}

#[derive(Debug, Args)]
pub struct Submit {
    /// The job's manifest
    #[arg(value_name = "JOB.toml")]
    pub manifest: PathBuf,
    /// Follow the job until it ends
    #[arg(long)]
    pub wait: bool,
}

#[derive(Debug, Args)]
pub struct Job {
    /// The job, as job-7 or 7
    #[arg(value_parser = job_id)]
    pub job: JobId,
}

#[derive(Debug, Args)]
pub struct Results {
    /// The job, as job-7 or 7
    #[arg(value_parser = job_id)]
    pub job: JobId,
    /// Where to put the files [default: a folder of the job's id]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Replace files that are there and differ
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Run {
    /// The job's manifest
    #[arg(value_name = "JOB.toml")]
    pub manifest: PathBuf,
    /// Where to put the files [default: a folder NAME-output]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Put them into a folder that is not empty, and replace files that differ
    #[arg(long)]
    pub force: bool,
    /// How many units to run at once [default: one for each CPU]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(gleaner_protocol::limits::SLOTS_MAX)))]
    pub slots: Option<u32>,
}

impl Command {
    /// Whether it runs until it is stopped, so that its log is what its user sees.
    pub fn is_service(&self) -> bool {
        matches!(
            self,
            Self::Coordinator(CoordinatorCommand::Start(_)) | Self::Worker(WorkerCommand::Start(_))
        )
    }
}

fn job_id(text: &str) -> Result<JobId, ParseIdError> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("job-{text}").parse();
    }
    text.parse()
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    match parse_duration(text) {
        Some(Duration::ZERO) => Err("it must be longer than nothing"),
        Some(duration) => Ok(duration),
        None => Err("write a whole number and one of s, min, h, d, such as 12h"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_defined() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_job_is_named_by_its_id_or_its_number() {
        assert_eq!(job_id("job-7"), Ok(JobId(7)));
        assert_eq!(job_id("7"), Ok(JobId(7)));
        for text in ["", "job", "-7", "7.1", "99999999999999999999"] {
            assert!(job_id(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{} has no example", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }
}

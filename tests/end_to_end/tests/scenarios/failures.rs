//! Tasks that misbehave: each ends its job with words that name the item and the reason.

use anyhow::{Context, Result, ensure};
use end_to_end::{JobFolder, Swarm};

/// A stage of ten numbers that goes wrong, and words that its failure must hold.
struct Failure {
    stage: &'static str,
    words: &'static [&'static str],
}

const FAILURES: [Failure; 11] = [
    Failure {
        stage: "function = \"fail_at\"\nparameters = { at = 7 }",
        words: &["item 7", "7 is the item that fails"],
    },
    Failure {
        stage: "function = \"panic_at\"\nparameters = { at = 3 }",
        words: &["item 3", "3 is the item that panics"],
    },
    Failure {
        stage: "function = \"trap_at\"\nparameters = { at = 9 }",
        words: &["item 9", "memory out of bounds", "in test_tasks::misbehaving::trap, called by"],
    },
    Failure {
        stage: "function = \"greedy\"\nparameters = { mebibytes = 64 }\n\
                limits = { memory = \"16 MiB\" }",
        words: &["item 0", "16777216 bytes of memory (`limits.memory`"],
    },
    Failure {
        stage: "function = \"flood\"\nparameters = { lines = 1000 }\n\
                limits = { log = \"4 KiB\" }",
        words: &["item 0", "4096 bytes of log (`limits.log`"],
    },
    Failure {
        stage: "function = \"wordy\"\nparameters = { bytes = 100000 }\n\
                limits = { output = \"64 KiB\" }",
        words: &["item 0", "65536 bytes of output (`limits.output`"],
    },
    Failure {
        stage: "function = \"chatty\"\nparameters = { calls = 5000 }\n\
                limits = { host_calls = 1000 }",
        words: &["item 0", "the host more than 1000 times (`limits.host_calls`"],
    },
    Failure {
        stage: "function = \"spin\"\nparameters = { iterations = 1000000000000 }\n\
                limits = { cpu = \"1 s\" }",
        words: &["1000 ms of CPU time (`limits.cpu`"],
    },
    Failure {
        stage: "function = \"deep\"\nparameters = { depth = 100000000 }",
        words: &["call stack"],
    },
    Failure { stage: "function = \"clash\"", words: &["same.txt"] },
    // An item's fields must fit the function's: `pair` has no field `number` of this type alone.
    Failure { stage: "function = \"pair\"", words: &["item 0", "letter"] },
];

impl Failure {
    fn folder(&self) -> Result<JobFolder> {
        let reduce = if self.stage.contains("clash") { "files" } else { "lines" };
        JobFolder::of_test_tasks(
            "max_attempts = 1",
            &format!(
                "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nreduce = \"{reduce}\"\n\
                 range = {{ field = \"number\", end = 10 }}\nunit_items = 10\n{}",
                self.stage
            ),
        )
    }
}

#[test]
fn a_job_that_fails_says_which_item_and_why() -> Result<()> {
    let swarm = Swarm::with_workers(&[2])?;
    let folders: Vec<_> = FAILURES.iter().map(Failure::folder).collect::<Result<_>>()?;
    let submit = |folder: &JobFolder| swarm.submit(&folder.manifest());
    let jobs: Vec<_> = folders.iter().map(submit).collect::<Result<_>>()?;
    for (failure, job) in FAILURES.iter().zip(&jobs) {
        let end = swarm.wait_for_end(job)?;
        ensure!(end["state"] == "failed", "{}\nended as {end}", failure.stage);
        let said = end["failure"].as_str().context("a failed job says why")?;
        for words in failure.words {
            ensure!(said.contains(words), "{}\nsays {said:?}, not {words:?}", failure.stage);
        }
    }
    swarm.stop()
}

#[test]
fn commands_on_a_failed_job_end_with_3_and_its_words() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let folder = FAILURES[0].folder()?;
    let manifest = folder.manifest();
    let manifest = manifest.to_str().context("a path is text")?;
    let submitted = swarm.ask(&["submit", manifest, "--wait"])?;
    let watched = swarm.ask(&["watch", "job-1"])?;
    let ran = swarm.ask(&["run", manifest])?;
    for (command, answer) in [("submit --wait", submitted), ("watch", watched), ("run", ran)] {
        ensure!(answer.code == 3, "`{command}` ended with {answer:?}");
        let said = answer.stdout + &answer.stderr;
        ensure!(said.contains("7 is the item that fails"), "`{command}` said {said:?}");
    }
    let results = swarm.ask(&["results", "job-1"])?;
    ensure!(results.code != 0, "a failed job has no results: {results:?}");
    swarm.stop()
}

#[test]
fn a_manifest_at_fault_is_refused_before_anything_is_sent() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let stage = "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nreduce = \"lines\"\n";
    let range = "range = { field = \"number\", end = 10 }\n";
    let cases = [
        (format!("{stage}{range}functoin = \"noop\""), ["functoin", "did you mean"]),
        (format!("{stage}{range}function = \"nop\""), ["nop", "noop"]),
        (
            format!("{stage}lines = {{ field = \"line\", file = \"gone\" }}\nfunction = \"shout\""),
            ["gone", "lines.file"],
        ),
    ];
    for (stage, words) in cases {
        let folder = JobFolder::of_test_tasks("", &stage)?;
        let manifest = folder.manifest();
        let answer = swarm.ask(&["submit", manifest.to_str().context("a path is text")?])?;
        ensure!(answer.code != 0, "{stage}\nis taken");
        for word in words {
            ensure!(answer.stderr.contains(word), "{stage}\nis refused with {answer:?}");
        }
    }
    let jobs = swarm.tell(&["jobs", "--json"])?;
    ensure!(jobs.trim() == "[]", "jobs are there: {jobs}");
    swarm.stop()
}

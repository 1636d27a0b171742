//! Jobs that go on when items fail: what is left out does not depend on how units were cut.

use anyhow::{Context, Result, ensure};
use end_to_end::{JobFolder, Output, Swarm};

/// Stages on the tests' tasks in which some items fail, how many, and what the others give.
struct Going {
    stage: &'static str,
    failed: u64,
    expected: (&'static str, &'static str),
}

const GOING: [Going; 6] = [
    Going {
        stage: "function = \"fail_at\"\nrange = { field = \"number\", end = 8 }\n\
                parameters = { at = 3 }\nreduce = \"lines\"",
        failed: 1,
        expected: ("s/s.txt", "0\n1\n2\n4\n5\n6\n7\n"),
    },
    Going {
        stage: "function = \"panic_at\"\ngrid = { number = [1, 2, 3, 4, 5], at = [4] }\n\
                reduce = \"sum\"",
        failed: 1,
        expected: ("s/s.json", "{\"count\":4,\"sum\":11}\n"),
    },
    Going {
        stage: "function = \"trap_at\"\ngrid = { number = [1, 2, 3, 4, 5], at = [1] }\n\
                reduce = \"merge\"\nmerge = \"add\"",
        failed: 1,
        expected: ("s/s.json", "14\n"),
    },
    Going {
        stage: "function = \"wordy\"\ngrid = { number = [120, 121], bytes = [3, 100000] }\n\
                limits = { output = \"64 KiB\" }\nreduce = \"concat\"",
        failed: 2,
        expected: ("s/s.bin", "xxxyyy"),
    },
    // An overflow of the stack is no answer; alone in its unit, again none, the item has failed.
    Going {
        stage: "function = \"deep\"\ngrid = { number = [1, 2, 3, 4, 5, 6], depth = [10] }\n\
                reduce = \"lines\"",
        failed: 0,
        expected: ("s/s.txt", "1\n2\n3\n4\n5\n6\n"),
    },
    Going {
        stage: "function = \"deep\"\ngrid = { number = [1, 2, 3], depth = [10, 100000000] }\n\
                reduce = \"lines\"",
        failed: 3,
        expected: ("s/s.txt", "1\n2\n3\n"),
    },
];

impl Going {
    fn folder(&self, unit_items: &str) -> Result<JobFolder> {
        let stage = format!(
            "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nunit_items = {unit_items}\n{}",
            self.stage
        );
        JobFolder::of_test_tasks("on_failure = \"continue\"\nmax_attempts = 2", &stage)
    }

    fn output(&self) -> Output {
        let (name, bytes) = self.expected;
        Output::from([(name.to_owned(), bytes.into())])
    }
}

#[test]
fn items_that_fail_are_left_out_however_units_were_cut() -> Result<()> {
    let swarm = Swarm::with_workers(&[2, 1])?;
    for unit_items in ["1", "3", "\"auto\""] {
        let folders: Vec<_> =
            GOING.iter().map(|going| going.folder(unit_items)).collect::<Result<_>>()?;
        let submit = |folder: &JobFolder| swarm.submit(&folder.manifest());
        let jobs: Vec<_> = folders.iter().map(submit).collect::<Result<_>>()?;
        for (going, job) in GOING.iter().zip(&jobs) {
            let end = swarm.wait_for_end(job)?;
            let place = || format!("{}\nin units of {unit_items}: {end}", going.stage);
            ensure!(end["state"] == "done", "{}", place());
            ensure!(end["stages"][0]["items_failed"] == going.failed, "{}", place());
            ensure!(swarm.output(job)? == going.output(), "another output: {}", place());
        }
    }
    swarm.stop()
}

#[test]
fn commands_on_a_job_of_which_items_failed_end_with_6() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let folder = GOING[0].folder("2")?;
    let manifest = folder.manifest();
    let manifest = manifest.to_str().context("a path is text")?;
    let output = folder.path().join("output");
    let output = output.to_str().context("a path is text")?;
    let submitted = swarm.ask(&["submit", manifest, "--wait"])?;
    let watched = swarm.ask(&["watch", "job-1"])?;
    let ran = swarm.ask(&["run", manifest, "-o", output])?;
    for (command, answer) in [("submit --wait", submitted), ("watch", watched), ("run", ran)] {
        ensure!(answer.code == 6, "`{command}` ended with {answer:?}");
        let said = answer.stdout + &answer.stderr;
        ensure!(said.contains("is done: 8 items (1 failed)"), "`{command}` said {said:?}");
    }
    let status = swarm.tell(&["status", "job-1"])?;
    ensure!(status.contains("8 of 8 (1 failed)"), "`status` said {status:?}");
    swarm.stop()
}

#[test]
fn items_that_failed_are_named_wherever_their_unit_is_told() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let folder = GOING[0].folder("4")?;
    let job = swarm.submit(&folder.manifest())?;
    swarm.wait_for_end(&job)?;
    let unit = format!("{}.0", job.replace("job", "unit"));
    for command in
        [&["units", &job, "--failed"][..], &["why", &job], &["why", &unit], &["logs", &unit]]
    {
        let said = swarm.tell(command)?;
        for words in ["item 3", "3 is the item that fails", "{\"number\":3}"] {
            ensure!(said.contains(words), "{command:?} says nothing of {words:?}: {said}");
        }
    }
    let units = swarm.tell(&["units", &job, "--failed", "--json"])?;
    let view: serde_json::Value = serde_json::from_str(&units)?;
    let failure = &view["failures"][0];
    ensure!(view["items_failed"] == 1 && failure["item"] == 3, "{view}");
    ensure!(failure["outcome"] == "failed" && failure["parameters"]["number"] == 3, "{view}");
    swarm.stop()
}

#[test]
fn a_killed_coordinator_forgets_no_failed_item() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[1])?;
    let stage = "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nfunction = \"fail_at\"\n\
                 range = { field = \"number\", end = 12000 }\nparameters = { at = 0 }\n\
                 unit_items = 1\nreduce = \"sum\"";
    let folder = JobFolder::of_test_tasks("on_failure = \"continue\"", stage)?;
    let job = swarm.submit(&folder.manifest())?;
    swarm.wait_for_items(&job, 10)?;
    swarm.kill_coordinator()?;
    swarm.start_coordinator()?;
    let end = swarm.wait_for_end(&job)?;
    ensure!(end["state"] == "done" && end["stages"][0]["items_failed"] == 1, "{end}");
    let sum = format!("{{\"count\":11999,\"sum\":{}}}\n", 11_999 * 12_000 / 2);
    ensure!(swarm.output(&job)? == Output::from([("s/s.json".to_owned(), sum.into_bytes())]));
    swarm.stop()
}

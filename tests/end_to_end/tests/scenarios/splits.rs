//! Items from a function of the job's own module.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::{Gleaner, JobFolder, Swarm, wait_until};

use crate::proxy::Proxy;

const SPLIT_LIMIT: Duration = Duration::from_secs(60);

/// The words of a text, each an item; `steps` are those of the split function.
fn words(steps: u64) -> Result<JobFolder> {
    let stage = format!(
        r#"
        [[stage]]
        name = "spelling"
        module = "tasks.wasm"
        function = "spell"
        split = "words"
        reduce = "csv"
        columns = ["count", "word"]
        parameters = {{ letters = 4, steps = {steps} }}
        files = {{ text = "text" }}"#
    );
    let folder = JobFolder::of_test_tasks("", &stage)?;
    folder.add("text", b"once upon a time there was a time of ever more time\n")?;
    Ok(folder)
}

const SPELT: &str = "count,word,backwards,letters\r\n1,ever,reve,4\r\n1,more,erom,4\r\n\
                     1,once,ecno,4\r\n1,there,ereht,5\r\n3,time,emit,12\r\n1,upon,nopu,4\r\n";

fn manifest(folder: &JobFolder) -> Result<String> {
    Ok(folder.manifest().to_str().context("a path is text")?.to_owned())
}

#[test]
fn items_of_a_split_are_the_same_everywhere_and_survive_a_restart() -> Result<()> {
    let folder = words(0)?;
    let alone = Gleaner::find()?.run(&folder.manifest())?;
    let table = alone.get("spelling/spelling.csv").context("there is a table")?;
    ensure!(table == SPELT.as_bytes(), "{}", String::from_utf8_lossy(table));

    let mut swarm = Swarm::with_workers(&[])?;
    let job = swarm.submit(&folder.manifest())?;
    ensure!(swarm.status(&job)?["stages"][0]["items"] == 6, "{}", swarm.status(&job)?);
    swarm.kill_coordinator()?;
    swarm.start_coordinator()?;
    swarm.join_worker(2)?;
    swarm.wait_for_end(&job)?;
    ensure!(swarm.output(&job)? == alone, "workers give other bytes");
    let again = swarm.tell(&["submit", &manifest(&folder)?, "--json"])?;
    ensure!(again.trim() == r#"{"job":"job-2"}"#, "it said {again}");
    let again = swarm.wait_for_end("job-2")?;
    ensure!(again["stages"][0]["items_kept"] == 6, "it was computed again: {again}");
    swarm.stop()
}

#[test]
fn a_coordinator_killed_while_it_splits_takes_the_job_after_its_restart() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[1])?;
    let proxy = Proxy::start(&swarm)?;
    let folder = words(2_000_000_000)?;
    let manifest = manifest(&folder)?;
    let (gleaner, data) = (swarm.gleaner().clone(), proxy.data());
    let answer = thread::scope(|scope| -> Result<_> {
        let submit = scope.spawn(|| gleaner.ask(data, &["submit", &manifest, "--json"]));
        // Without a job there is nothing to merge: it is the split's.
        wait_until("the slot of a split", SPLIT_LIMIT, || {
            Ok((!swarm.coordinator().children().is_empty()).then_some(()))
        })?;
        swarm.kill_coordinator()?;
        swarm.start_coordinator()?;
        submit.join().expect("asking does not panic")
    })?;
    ensure!(answer.stdout.trim() == r#"{"job":"job-1"}"#, "it said {answer:?}");
    swarm.wait_for_end("job-1")?;
    let output = swarm.output("job-1")?;
    let table = output.get("spelling/spelling.csv").context("there is a table")?;
    ensure!(table == SPELT.as_bytes(), "{}", String::from_utf8_lossy(table));
    swarm.stop()
}

/// The words of a text that a stage before has made louder, which goes by the name that the split
/// function reads.
fn louder_words(split: &str, parameters: &str) -> Result<JobFolder> {
    let stages = format!(
        r#"
        [[stage]]
        name = "text"
        module = "tasks.wasm"
        function = "shout"
        lines = {{ field = "line", file = "words" }}
        reduce = "lines"
        [[stage]]
        name = "spelling"
        module = "tasks.wasm"
        function = "spell"
        split = {{ function = "{split}", after = "text" }}
        reduce = "csv"
        parameters = {{ {parameters} }}"#
    );
    let folder = JobFolder::of_test_tasks("", &stages)?;
    folder.add("words", b"once upon a time there was\na time of ever more time\n")?;
    Ok(folder)
}

const SPELT_LOUD: &str = "backwards,letters\r\nREVE,4\r\nEROM,4\r\nECNO,4\r\nEREHT,5\r\n\
                          EMIT,12\r\nNOPU,4\r\n";

#[test]
fn a_split_reads_an_earlier_output_and_is_run_again_after_a_crash() -> Result<()> {
    let folder = louder_words("words", "letters = 4, steps = 2_000_000_000")?;
    let mut swarm = Swarm::with_workers(&[1])?;
    let job = swarm.submit(&folder.manifest())?;
    // Nothing is merged: the slot is the split's.
    wait_until("the slot of a split", SPLIT_LIMIT, || {
        Ok((!swarm.coordinator().children().is_empty()).then_some(()))
    })?;
    swarm.kill_coordinator()?;
    swarm.start_coordinator()?;
    let end = swarm.wait_for_end(&job)?;
    ensure!(end["stages"][1]["items"] == 6, "{end}");
    let output = swarm.output(&job)?;
    let table = output.get("spelling/spelling.csv").context("there is a table")?;
    ensure!(table == SPELT_LOUD.as_bytes(), "{}", table.escape_ascii());

    swarm.kill_coordinator()?;
    swarm.start_coordinator()?;
    let again = swarm.submit_with(&folder.manifest(), &[])?;
    let end = swarm.wait_for_end(&again)?;
    ensure!(end["stages"][1]["items_kept"] == 6, "it was computed again: {end}");
    ensure!(swarm.output(&again)? == output, "what was taken over gives other bytes");
    swarm.stop()
}

#[test]
fn a_split_of_an_earlier_output_is_the_same_without_a_server_and_can_be_tested() -> Result<()> {
    let folder = louder_words("words", "letters = 4")?;
    let gleaner = Gleaner::find()?;
    let alone = gleaner.run(&folder.manifest())?;
    let table = alone.get("spelling/spelling.csv").context("there is a table")?;
    ensure!(table == SPELT_LOUD.as_bytes(), "{}", table.escape_ascii());

    let (data, manifest) = (tempfile::tempdir()?, manifest(&folder)?);
    let plan = gleaner.tell(data.path(), &["run", "--dry-run", &manifest])?;
    ensure!(plan.contains("known when text is done"), "{plan}");
    folder.add("loud", b"ONCE UPON A TIME\n")?;
    let given = format!("text={}", folder.path().join("loud").display());
    let tried = gleaner.tell(data.path(), &["test", &manifest, "--after", &given])?;
    ensure!(tried.contains("words (split)") && tried.contains("3 of 3"), "{tried}");
    Ok(())
}

#[test]
fn a_split_that_fails_on_an_earlier_output_fails_its_job_with_the_reason() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let folder = louder_words("odd", "how = \"fail\"")?;
    let job = swarm.submit(&folder.manifest())?;
    let end = swarm.wait_for_end(&job)?;
    let told = end["failure"].as_str().unwrap_or_default();
    ensure!(told.starts_with("stage `spelling`, split `odd`: "), "{end}");
    ensure!(told.contains("there is nothing to split"), "{end}");
    ensure!(end["stages"][0]["state"] == "done", "the first stage is lost: {end}");
    swarm.stop()
}

#[test]
fn a_dry_run_counts_the_items_of_a_split_and_tries_some() -> Result<()> {
    let folder = words(0)?;
    let data = tempfile::tempdir()?;
    let plan = ["run", "--dry-run", &manifest(&folder)?];
    let plan = Gleaner::find()?.tell_json(data.path(), &plan)?;
    ensure!(plan["stages"][0]["items"] == 6, "{plan}");
    ensure!(plan["stages"][0]["sample"]["items"] == 6, "{plan}");
    let checked = Gleaner::find()?.tell(data.path(), &["check", &manifest(&folder)?])?;
    ensure!(checked.contains("splits") && checked.contains("odd, words"), "{checked}");
    let tried = Gleaner::find()?.tell(data.path(), &["test", &manifest(&folder)?])?;
    ensure!(tried.contains("words (split)"), "{tried}");
    Ok(())
}

#[test]
fn a_split_that_gives_no_items_is_refused_with_its_name_and_the_reason() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    for (how, words) in [
        ("fail", "there is nothing to split"),
        ("panic", "a split that gives up"),
        ("none", "it gave no item"),
        ("taken", "its item 0 has the field \"how\", which is a parameter of the stage too"),
    ] {
        let stage = format!(
            "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nfunction = \"noop\"\n\
             split = \"odd\"\nreduce = \"lines\"\nparameters = {{ how = \"{how}\" }}"
        );
        let folder = JobFolder::of_test_tasks("", &stage)?;
        let answer = swarm.ask(&["submit", &manifest(&folder)?])?;
        ensure!(answer.code == 1 && answer.stderr.contains(words), "{how}: {answer:?}");
        ensure!(answer.stderr.contains("stage `s`, split `odd`: "), "{how}: {answer:?}");
    }
    let stage = "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nfunction = \"noop\"\n\
                 split = \"wrods\"\nreduce = \"lines\"";
    let folder = JobFolder::of_test_tasks("", stage)?;
    let answer = swarm.ask(&["submit", &manifest(&folder)?])?;
    ensure!(answer.code == 1 && answer.stderr.contains("words"), "{answer:?}");
    swarm.stop()
}

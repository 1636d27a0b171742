//! `--dry-run`: what would happen, and nothing that does.

use anyhow::{Context, Result, ensure};
use end_to_end::{Gleaner, JobFolder, Swarm};
use serde_json::{Value, json};

const STAGES: &str = r#"
    [[stage]]
    name = "squares"
    module = "tasks.wasm"
    function = "square"
    range = { field = "number", end = 100 }
    unit_items = 8
    reduce = "csv"
    [[stage]]
    name = "loud"
    module = "tasks.wasm"
    function = "shout"
    lines = { field = "line", file = "words.txt" }
    reduce = "lines"
    [[stage]]
    name = "total"
    module = "tasks.wasm"
    function = "count_lines"
    after = "loud"
    reduce = "concat""#;

fn manifest(folder: &JobFolder) -> Result<String> {
    Ok(folder.manifest().to_str().context("a path is text")?.to_owned())
}

#[test]
fn a_dry_run_tells_of_the_job_and_submits_nothing() -> Result<()> {
    let swarm = Swarm::with_workers(&[2])?;
    let folder = JobFolder::of_test_tasks("", STAGES)?;
    folder.add("words.txt", b"one\ntwo\nthree\n")?;
    let manifest = manifest(&folder)?;
    let dry_run = || swarm.gleaner().tell_json(&swarm.data(), &["submit", "--dry-run", &manifest]);
    let plan = dry_run()?;
    let numbers = |key: &str| -> Vec<Value> {
        let stages = plan["stages"].as_array().cloned().unwrap_or_default();
        stages.iter().map(|stage| stage[key].clone()).collect()
    };
    ensure!(numbers("items") == [json!(100), json!(3), json!(1)], "{plan}");
    ensure!(plan["stages"][0]["units"] == 13, "8 items go into a unit: {plan}");
    ensure!(plan["stages"][0]["sample"]["items"] == 16, "{plan}");
    ensure!(plan["stages"][1]["sample"]["items"] == 3, "{plan}");
    ensure!(plan["stages"][2]["sample"].is_null(), "its input is not there: {plan}");
    ensure!(plan["estimate"]["stages_unknown"] == json!(["total"]), "{plan}");
    ensure!(plan["estimate"]["seconds"].as_f64() > Some(0.0), "{plan}");
    ensure!(plan["sending"]["files"] == 2 && plan["sending"]["files_held"] == 0, "{plan}");
    ensure!(plan["workers"]["workers_able"] == 1 && plan["workers"]["slots_able"] == 2, "{plan}");
    ensure!(swarm.tell(&["jobs", "--json"])?.trim() == "[]", "a job was submitted");

    swarm.see_through(&folder.manifest())?;
    let again = dry_run()?;
    ensure!(
        again["sending"]
            == json!({"files": 0, "bytes": 0, "files_held": 2,
        "bytes_held": plan["sending"]["bytes"]}),
        "what was sent is there: {again}"
    );
    let words = swarm.tell(&["submit", "--dry-run", &manifest])?;
    ensure!(words.contains("nothing was submitted"), "{words}");
    swarm.stop()
}

#[test]
fn a_dry_run_of_a_task_that_fails_says_so() -> Result<()> {
    let stage = "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nfunction = \"fail_at\"\n\
                 range = { field = \"number\", end = 10 }\nreduce = \"lines\"\n\
                 parameters = { at = 7 }";
    let folder = JobFolder::of_test_tasks("", stage)?;
    let manifest = manifest(&folder)?;
    let answer = Gleaner::find()?.ask(folder.path(), &["run", "--dry-run", &manifest])?;
    ensure!(answer.code == 3, "it ended with {answer:?}");
    ensure!(answer.stderr.contains("7 is the item that fails"), "{answer:?}");
    let spared = ["run", "--dry-run", &manifest, "--set", "range.end=7"];
    let answer = Gleaner::find()?.ask(folder.path(), &spared)?;
    ensure!(answer.code == 0 && answer.stdout.contains("7 items"), "{answer:?}");
    Ok(())
}

#[test]
fn items_that_fail_end_no_trial_of_a_job_that_goes_on() -> Result<()> {
    let stage = "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nfunction = \"fail_at\"\n\
                 grid = { number = [1, 2, 3, 4], at = [2, 3] }\nreduce = \"lines\"";
    let folder = JobFolder::of_test_tasks("on_failure = \"continue\"", stage)?;
    let manifest = manifest(&folder)?;
    let gleaner = Gleaner::find()?;
    let planned = gleaner.ask(folder.path(), &["run", "--dry-run", &manifest])?;
    for words in ["6 items: ", "2 items failed"] {
        ensure!(planned.stdout.contains(words), "{words}: {planned:?}");
    }
    let tried = gleaner.ask(folder.path(), &["test", &manifest])?;
    for words in ["8 of 8", "the same bytes, 2 failed"] {
        ensure!(tried.stdout.contains(words), "{words}: {tried:?}");
    }
    for answer in [planned, tried] {
        ensure!(answer.code == 6, "{answer:?}");
        for item in ["item 2: 2 is the item that fails", "item 5: 3 is the item that fails"] {
            ensure!(answer.stderr.contains(item), "{item}: {answer:?}");
        }
    }
    Ok(())
}

#[test]
fn items_without_an_answer_end_no_trial_of_a_job_that_goes_on() -> Result<()> {
    let stage = "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nfunction = \"deep\"\n\
                 grid = { number = [1, 2, 3, 4], depth = [10, 100000000] }\nreduce = \"lines\"";
    let gleaner = Gleaner::find()?;
    for (on_failure, codes) in [("continue", [6, 6]), ("stop", [3, 1])] {
        let folder = JobFolder::of_test_tasks(&format!("on_failure = \"{on_failure}\""), stage)?;
        let manifest = manifest(&folder)?;
        let planned = gleaner.ask(folder.path(), &["run", "--dry-run", &manifest])?;
        let tried = gleaner.ask(folder.path(), &["test", &manifest])?;
        let goes_on = [
            planned.stdout.contains("4 items: ") && planned.stdout.contains("4 items failed"),
            tried.stdout.contains("8 of 8") && tried.stdout.contains("the same bytes, 4 failed"),
        ];
        for ((answer, code), goes_on) in [planned, tried].into_iter().zip(codes).zip(goes_on) {
            ensure!(answer.code == code, "{on_failure}: {answer:?}");
            ensure!(goes_on == (on_failure == "continue"), "{on_failure}: {answer:?}");
        }
    }
    Ok(())
}

#[test]
fn a_dry_run_refuses_what_a_coordinator_would() -> Result<()> {
    let stage = "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nfunction = \"shout\"\n\
                 lines = { field = \"line\", file = \"words.txt\" }\nreduce = \"lines\"";
    let folder = JobFolder::of_test_tasks("", stage)?;
    folder.add("words.txt", b"")?;
    let manifest = manifest(&folder)?;
    let answer = Gleaner::find()?.ask(folder.path(), &["run", "--dry-run", &manifest])?;
    ensure!(answer.code == 1 && answer.stderr.contains("no item to compute"), "{answer:?}");
    ensure!(answer.stderr.contains("hint: "), "{answer:?}");
    Ok(())
}

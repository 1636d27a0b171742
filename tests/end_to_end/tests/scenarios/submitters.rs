//! Submitters from elsewhere: a data folder of their own, a key, and a ticket.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::{Answer, Gleaner, JobFolder, Output, Process, Swarm, read_output, wait_until};
use serde_json::Value;
use tempfile::TempDir;

use crate::terminal::{self, Keys};

const LIMIT: Duration = Duration::from_secs(60);

/// One who submits from elsewhere: all that it has of the project is a line of text.
struct Submitter {
    gleaner: Gleaner,
    data: TempDir,
    key: String,
}

impl Submitter {
    /// One with a new key that nobody knows.
    fn stranger(swarm: &Swarm) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let gleaner = swarm.gleaner().clone();
        let key = gleaner.tell(data.path(), &["submitter", "key"])?.trim().to_owned();
        Ok(Self { gleaner, data, key })
    }

    /// One whom the operator has put on the list, and who uses the project.
    fn added(swarm: &Swarm, name: &str, terms: &[&str]) -> Result<Self> {
        let submitter = Self::stranger(swarm)?;
        let ticket = submitter.be_added(swarm, name, terms)?;
        submitter.tell(&["use", &ticket])?;
        Ok(submitter)
    }

    /// Has the operator put it on the list, and gives the ticket.
    fn be_added(&self, swarm: &Swarm, name: &str, terms: &[&str]) -> Result<String> {
        let add = ["coordinator", "submitter", "add", name, &self.key];
        Ok(swarm.tell(&[&add[..], terms].concat())?.trim().to_owned())
    }

    fn ask(&self, arguments: &[&str]) -> Result<Answer> {
        self.gleaner.ask(self.data.path(), arguments)
    }

    fn tell(&self, arguments: &[&str]) -> Result<String> {
        self.gleaner.tell(self.data.path(), arguments)
    }

    fn tell_json(&self, arguments: &[&str]) -> Result<Value> {
        self.gleaner.tell_json(self.data.path(), arguments)
    }

    fn submit(&self, manifest: &Path) -> Result<String> {
        let reply = self.tell_json(&["submit", text(manifest)?])?;
        reply["job"].as_str().map(str::to_owned).with_context(|| format!("no job in {reply}"))
    }

    fn results(&self, job: &str) -> Result<Output> {
        let folder = tempfile::tempdir()?;
        self.tell(&["results", job, "-o", text(folder.path())?])?;
        read_output(folder.path())
    }

    /// Begins to follow a job, and waits until its first view is there.
    fn watch(&self, job: &str) -> Result<Process> {
        let mut command = self.gleaner.command(self.data.path());
        let log = self.data.path().join("watch.log");
        let watch = Process::start("watch", command.args(["watch", job, "--json"]), &log)?;
        wait_until("the first view of the job", LIMIT, || {
            Ok(watch.log().contains("\"state\"").then_some(()))
        })?;
        Ok(watch)
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("test folders have names of text")
}

/// A job that waits as long as there is no worker.
fn squares() -> Result<JobFolder> {
    let stage = r#"
        [[stage]]
        name = "s"
        module = "tasks.wasm"
        function = "square"
        range = { field = "number", end = 40 }
        unit_items = 4
        reduce = "csv""#;
    JobFolder::of_test_tasks("", stage)
}

#[track_caller]
fn check_refused(answer: &Answer, words: &[&str]) {
    assert_eq!(answer.code, 1, "{answer:?}");
    for words in words {
        assert!(answer.stderr.contains(words), "{words:?} is not in {}", answer.stderr);
    }
}

#[test]
fn a_submitter_from_elsewhere_runs_no_command_and_calls_no_private_address() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let ada = Submitter::added(&swarm, "ada", &[])?;
    let folder = squares()?;
    let manifest = text(&folder.manifest())?.to_owned();
    let command = ["submit", &manifest, "--set", "notify.on_stall=[\"true\"]"];
    check_refused(&ada.ask(&command)?, &["`notify.on_stall` is a command", "only its operator"]);
    swarm.tell(&command)?;

    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let url = format!("notify.on_done=\"http://localhost:{}/\"", listener.local_addr()?.port());
    let reply = ada.tell_json(&["submit", &manifest, "--set", &url])?;
    let job = reply["job"].as_str().context("a job has an id")?.to_owned();
    ada.tell(&["cancel", &job])?;
    let said = wait_until("the end of all tries", LIMIT, || {
        let said = ada.tell(&["status", &job])?;
        Ok(said.contains("nobody was told").then_some(said))
    })?;
    ensure!(said.contains("is no public address") && said.contains("after 1 try"), "{said}");
    ensure!(listener.accept().is_err(), "somebody called");
    swarm.stop()
}

#[test]
fn a_submitter_from_elsewhere_is_asked_before_a_job_of_its_own_is_removed() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let [ada, bob] = ["ada", "bob"].map(|name| Submitter::added(&swarm, name, &[]));
    let (ada, bob) = (ada?, bob?);
    let job = ada.submit(&squares()?.manifest())?;
    ada.tell(&["cancel", &job])?;
    check_refused(&ada.ask(&["rm", &job])?, &["no terminal to ask on", "--yes"]);
    check_refused(&bob.ask(&["rm", "--yes", &job])?, &[]);
    let words = format!("rm {job}");
    let ask = |keys| terminal::ask(&ada.gleaner, ada.data.path(), &words, keys);
    for (keys, code) in [(Keys::Line("no\n"), 1), (Keys::CtrlC, 130)] {
        let (ended, shown) = ask(keys)?;
        ensure!(ended == code, "{keys:?}: it ended with {ended}: {shown}");
        ensure!(swarm.status(&job)?["state"] == "cancelled", "{keys:?} is no yes");
    }
    let (ended, shown) = ask(Keys::Line("y\n"))?;
    ensure!(ended == 0 && shown.contains("job-1 is removed"), "{ended}: {shown}");
    check_refused(&swarm.ask(&["status", &job])?, &["job-1 was removed"]);
    swarm.stop()
}

#[test]
fn an_added_submitter_gets_the_same_bytes_and_a_stranger_nothing() -> Result<()> {
    let swarm = Swarm::with_workers(&[2])?;
    let folder = JobFolder::planets(7, "1")?;
    let stranger = Submitter::stranger(&swarm)?;
    let ada = Submitter::added(&swarm, "ada", &[])?;
    let ticket = ada.be_added(&swarm, "ada", &["--weight", "2"])?;
    stranger.tell(&["use", &ticket])?;
    let refused = stranger.ask(&["submit", text(&folder.manifest())?])?;
    check_refused(&refused, &["not on the coordinator's list of submitters", &stranger.key]);

    let job = ada.submit(&folder.manifest())?;
    let watched = ada.tell_json(&["submit", text(&folder.manifest())?, "--fresh", "--wait"])?;
    ensure!(watched["state"] == "done", "it ended as {watched}");
    ada.tell(&["watch", &job])?;
    let operators = swarm.compute(&folder.manifest())?;
    ensure!(ada.results(&job)? == operators, "the output differs");
    let second = watched["job"].as_str().context("a job has an id")?;
    ensure!(ada.results(second)? == operators, "the second output differs");
    swarm.stop()
}

#[test]
fn anothers_job_looks_like_none_and_the_operator_sees_all() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let folder = squares()?;
    let (ada, bob) = (Submitter::added(&swarm, "ada", &[])?, Submitter::added(&swarm, "bob", &[])?);
    let (adas, operators) = (ada.submit(&folder.manifest())?, swarm.submit(&folder.manifest())?);
    for command in ["status", "watch", "results", "cancel", "units"] {
        for (submitter, job) in [(&bob, &adas), (&ada, &operators)] {
            check_refused(&submitter.ask(&[command, job])?, &[&format!("there is no {job}")]);
        }
    }
    ensure!(bob.tell_json(&["jobs"])? == Value::Array(Vec::new()), "bob has no job");
    let mine = ada.tell_json(&["jobs"])?;
    ensure!(mine[0]["job"] == *adas && mine[1].is_null(), "ada has one: {mine}");
    ensure!(mine[0]["submitter"] == "ada", "it is hers: {mine}");
    let all = swarm.tell(&["jobs"])?;
    ensure!(all.contains("ada") && all.contains("operator"), "the operator sees all: {all}");
    // The same name for a submission is two submissions of two submitters.
    let manifest = folder.manifest();
    let named = ["submit", text(&manifest)?, "--submission", "nightly"];
    let jobs = [ada.tell_json(&named)?, bob.tell_json(&named)?, bob.tell_json(&named)?];
    ensure!(jobs[0] != jobs[1] && jobs[1] == jobs[2], "{jobs:?}");
    swarm.tell(&["cancel", &adas])?;
    ensure!(ada.tell_json(&["status", &adas])?["state"] == "cancelled", "the operator may cancel");
    check_refused(&bob.ask(&["retry", &adas])?, &[&format!("there is no {adas}")]);
    let hers = ada.tell_json(&["retry", &adas])?;
    ensure!(hers["submitter"] == "ada" && hers["retry_of"] == *adas, "it is hers, too: {hers}");
    let same = serde_json::from_str::<Value>(&swarm.tell(&["retry", &adas, "--json"])?)?;
    ensure!(same["job"] == hers["job"], "the operator's retry is the same job: {same}");
    swarm.stop()
}

#[test]
fn quotas_are_told_with_what_is_used_and_what_to_do() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let folder = squares()?;
    let manifest = folder.manifest();
    let ada = Submitter::added(&swarm, "ada", &["--jobs", "1"])?;
    let first = ada.submit(&manifest)?;
    let over = ["ada has used up its quota of running jobs: 1 of 1", "cancel one"];
    check_refused(&ada.ask(&["submit", text(&manifest)?])?, &over);
    ada.tell(&["cancel", &first])?;
    ada.submit(&manifest)?;
    check_refused(&ada.ask(&["retry", &first])?, &over);

    let plan = ada.ask(&["submit", text(&manifest)?, "--dry-run"])?;
    check_refused(&plan, &["the quota of running jobs is used up: 1 of 1"]);
    ada.be_added(&swarm, "ada", &["--storage", "10kB"])?;
    let large = squares()?;
    large.add("large.txt", &vec![b'x'; 20_000])?;
    let stage = "[job]\nname = \"trial\"\n[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\n\
                 function = \"square\"\nlines = { field = \"number\", file = \"large.txt\" }\n\
                 reduce = \"csv\"\n";
    large.add("job.toml", stage.as_bytes())?;
    let refused = ada.ask(&["submit", text(&large.manifest())?])?;
    let words = ["20000 bytes has no room", "its quota is 10000", "operator", "large.txt"];
    check_refused(&refused, &words);
    let listed = swarm.tell(&["coordinator", "submitter", "list", "--json"])?;
    let listed: Value = serde_json::from_str(&listed)?;
    ensure!(listed[0]["jobs_running"] == 1, "{listed}");
    ensure!(listed[0]["storage_bytes"].as_u64() > Some(10_000), "{listed}");
    let plan = ada.ask(&["submit", text(&large.manifest())?, "--dry-run"])?;
    check_refused(&plan, &["no room for the 20000 bytes to send", "of 10000"]);
    swarm.stop()
}

#[test]
fn one_who_is_removed_is_cut_off_and_its_jobs_stay() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let ada = Submitter::added(&swarm, "ada", &[])?;
    let job = ada.submit(&squares()?.manifest())?;
    let mut watch = ada.watch(&job)?;
    swarm.tell(&["coordinator", "submitter", "remove", "ada"])?;
    let status = wait_until("the end of watching", LIMIT, || watch.ended())?;
    ensure!(status.code() == Some(1), "{status}: {}", watch.log());
    let words = "not on the coordinator's list of submitters";
    ensure!(watch.log().contains(words), "{}", watch.log());
    check_refused(&ada.ask(&["jobs"])?, &[words]);
    ensure!(swarm.status(&job)?["submitter"] == "ada", "the job stays hers");
    ada.be_added(&swarm, "ada", &[])?;
    ensure!(ada.tell_json(&["jobs"])?[0]["job"] == *job, "she comes in again");
    swarm.stop()
}

#[test]
fn what_is_the_operators_is_no_submitters() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let ada = Submitter::added(&swarm, "ada", &[])?;
    // Commands of an operator speak to this machine, whatever project is in use.
    let answer = ada.ask(&["coordinator", "submitter", "list"])?;
    assert_eq!(answer.code, 5, "{answer:?}");
    assert!(answer.stderr.contains("there is no coordinator in"), "{answer:?}");
    let answer = ada.ask(&["jobs", "--project", "local"])?;
    assert_eq!(answer.code, 5, "{answer:?}");
    swarm
        .tell(&["coordinator", "submitter", "add", "operator", &ada.key])
        .expect_err("the name would be taken for the operator");
    swarm.stop()
}

#[test]
fn a_coordinator_that_restarts_is_found_again_in_the_middle() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[1])?;
    let folder = JobFolder::planets(99, "1")?;
    let expected = swarm.gleaner().run(&folder.manifest())?;
    let ada = Submitter::added(&swarm, "ada", &["--jobs", "1"])?;
    let named = ["submit", text(&folder.manifest())?, "--submission", "once"].map(str::to_owned);
    let submit = || ada.tell_json(&named.each_ref().map(String::as_str));
    let job = submit()?["job"].as_str().context("a job has an id")?.to_owned();
    swarm.wait_for_items(&job, 1)?;
    let mut watch = ada.watch(&job)?;
    ensure!(swarm.status(&job)?["state"] == "running", "the job was over too soon for this test");
    swarm.kill_coordinator()?;
    let away = ada.ask(&["jobs"])?;
    ensure!(away.code == 5, "a coordinator that is away has its own code: {away:?}");
    swarm.start_coordinator()?;
    let again = submit()?;
    ensure!(again["job"] == *job, "a repeat after the restart is the same job: {again}");
    let status = wait_until("the end of watching", Duration::from_secs(180), || watch.ended())?;
    ensure!(status.success(), "{status}: {}", watch.log());
    ensure!(ada.results(&job)? == expected, "the output differs");
    swarm.stop()
}

#[test]
fn answers_of_anothers_job_are_taken_over_without_its_name() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let folder = squares()?;
    let (ada, bob) = (Submitter::added(&swarm, "ada", &[])?, Submitter::added(&swarm, "bob", &[])?);
    let adas = ada.submit(&folder.manifest())?;
    swarm.wait_for_end(&adas)?;
    let bobs = bob.submit(&folder.manifest())?;
    let end = swarm.wait_for_end(&bobs)?;
    ensure!(end["stages"][0]["items_kept"] == 40, "it was computed again: {end}");

    let told = bob.tell(&["units", &bobs])? + &bob.tell(&["units", &bobs, "--json"])?;
    ensure!(told.contains("of an earlier job"), "{told}");
    let results = tempfile::tempdir()?;
    bob.tell(&["results", &bobs, "-o", text(results.path())?])?;
    let provenance = std::fs::read_to_string(results.path().join("provenance.json"))?;
    ensure!(provenance.contains("\"from\":\"an earlier job\""), "{provenance}");
    for (place, told) in [("units", &told), ("provenance.json", &provenance)] {
        for secret in [adas.as_str(), "unit-1.", "worker-"] {
            ensure!(!told.contains(secret), "{place} tells bob of {secret}: {told}");
        }
    }
    let operators = swarm.tell(&["units", &bobs])?;
    ensure!(operators.contains("unit-1.0"), "the operator sees all: {operators}");
    let results = tempfile::tempdir()?;
    swarm.tell(&["results", &bobs, "-o", text(results.path())?])?;
    let provenance = std::fs::read(results.path().join("provenance.json"))?;
    let provenance: Value = serde_json::from_slice(&provenance)?;
    let units = &provenance["units"][0];
    ensure!(units["from"]["job"] == adas.as_str() && units["unit"] == "unit-1.0", "{units}");
    ensure!(units["agreed"].as_array().is_some_and(|workers| workers.len() == 1), "{units}");
    swarm.stop()
}

#[test]
fn a_cancelled_job_gives_previews_of_every_kind_from_elsewhere() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let ada = Submitter::added(&swarm, "ada", &[])?;
    for (name, lines, preview) in [
        ("squares", "function = \"square\"\nreduce = \"csv\"", "squares.partial.csv"),
        ("total", "function = \"sum\"\nreduce = \"merge\"\nmerge = \"add\"", "total.partial.json"),
        ("files", "function = \"letters\"\nreduce = \"files\"", "item-0/letter.partial.txt"),
    ] {
        let stage = format!(
            "[[stage]]\nname = \"{name}\"\nmodule = \"tasks.wasm\"\nunit_items = 1\n\
             grid = {{ number = {{ range = [0, 9000000, 1] }} }}\n{lines}"
        );
        let folder = JobFolder::of_test_tasks("", &stage)?;
        let job = ada.submit(&folder.manifest())?;
        swarm.wait_for_items(&job, 8)?;
        ada.tell(&["cancel", &job])?;
        let results = tempfile::tempdir()?;
        ada.tell(&["results", &job, "-o", text(results.path())?, "--partial"])?;
        let previews = read_output(results.path())?;
        ensure!(previews.keys().all(|name| name.contains(".partial")), "{:?}", previews.keys());
        let preview = previews.get(&format!("{name}/{preview}")).context("a preview")?;
        let preview = String::from_utf8_lossy(preview);
        let fits = match name {
            "squares" => preview.starts_with("number,square\r\n0,0\r\n1,1\r\n"),
            "total" => preview.trim().parse::<i64>()? >= 28,
            _ => preview == "a\n",
        };
        ensure!(fits, "the preview of {name} begins with {:?}", preview.get(..60));
        let gaps = std::fs::read_to_string(results.path().join("gaps.csv"))?;
        ensure!(gaps.contains(",8999999,") && gaps.contains(",dropped\r\n"), "{gaps}");
    }
    swarm.stop()
}

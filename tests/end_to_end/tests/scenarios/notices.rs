//! Who is told how a job goes: by a call or a command, at its end and when it stands still, also
//! when the coordinator was killed in between.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::{JobFolder, Swarm, wait_until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// Somebody who listens on this machine.
struct Listener(TcpListener);

impl Listener {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    fn url(&self) -> Result<String> {
        Ok(format!("http://{}/hook", self.0.local_addr()?))
    }

    /// The next call, which waits for its answer, and what it says.
    fn next(&self) -> Result<(TcpStream, Value)> {
        let (mut stream, _) = wait_until("a call", LIMIT, || match self.0.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            accepted => Ok(Some(accepted?)),
        })?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let text = String::from_utf8_lossy(&said);
            if let Some((_, body)) = text.split_once("\r\n\r\n")
                && let Ok(body) = serde_json::from_str(body)
            {
                ensure!(text.starts_with("POST /hook HTTP/1.1\r\n"), "it said {text}");
                return Ok((stream, body));
            }
            let read = stream.read(&mut buffer)?;
            ensure!(read > 0, "the call ended early: {text}");
            said.extend_from_slice(&buffer[..read]);
        }
    }

    /// The next call, answered.
    fn take(&self) -> Result<Value> {
        let (mut stream, said) = self.next()?;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        Ok(said)
    }

    fn is_left_alone(&self) -> bool {
        matches!(self.0.accept(), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

/// Forty numbers to square, with these lines of `[notify]`.
fn squares(notify: &str) -> Result<JobFolder> {
    let stage = "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nfunction = \"square\"\n\
                 range = { field = \"number\", end = 40 }\nunit_items = 4\nreduce = \"csv\"";
    JobFolder::of_test_tasks(&format!("[notify]\n{notify}"), stage)
}

/// A command of the manifest's that writes the facts into `file`, whole or not at all.
fn command(file: &Path) -> String {
    let file = file.display();
    let script = format!(
        "echo $GLEANER_EVENT $GLEANER_JOB $GLEANER_STATE > {file}.new && mv {file}.new {file}"
    );
    toml_list(&["sh", "-c", &script])
}

fn toml_list(words: &[&str]) -> String {
    json!(words).to_string()
}

#[test]
fn a_job_without_workers_tells_that_it_stands_still_and_later_that_it_is_done() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[])?;
    let listener = Listener::start()?;
    let url = listener.url()?;
    let folder = squares(&format!("on_stall = {url:?}\nstall_after = \"1 s\"\non_done = {url:?}"))?;
    let job = swarm.submit(&folder.manifest())?;
    let stall = listener.take()?;
    ensure!(stall["event"] == "stall" && stall["state"] == "running", "{stall}");
    ensure!(stall["job"] == job.as_str() && stall["project"] == "trial", "{stall}");
    let text = stall["text"].as_str().unwrap_or_default();
    ensure!(text.contains("no worker is connected"), "{text}");

    swarm.join_worker(2)?;
    swarm.wait_for_end(&job)?;
    let done = loop {
        // A slow machine may stand still once more.
        let told = listener.take()?;
        if told["event"] != "stall" {
            break told;
        }
    };
    ensure!(done["event"] == "done" && done["state"] == "done", "{done}");
    ensure!(done["items"] == 40 && done["items_failed"] == 0, "{done}");
    ensure!(swarm.status(&job)?["notify_failure"].is_null(), "{}", swarm.status(&job)?);
    swarm.stop()
}

#[test]
fn what_a_killed_coordinator_had_not_delivered_is_told_after_its_restart() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[])?;
    let listener = Listener::start()?;
    let folder = squares(&format!("on_done = {:?}", listener.url()?))?;
    let job = swarm.submit(&folder.manifest())?;
    swarm.tell(&["cancel", &job])?;
    let (unanswered, told) = listener.next()?;
    swarm.kill_coordinator()?;
    drop(unanswered);
    swarm.start_coordinator()?;
    ensure!(listener.take()? == told, "it is told the same once more");
    ensure!(told["state"] == "cancelled" && told["job"] == job.as_str(), "{told}");
    swarm.stop()?;
    ensure!(listener.is_left_alone(), "what was delivered is told again");
    Ok(())
}

#[test]
fn an_operators_command_runs_and_run_waits_for_it() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let files = tempfile::tempdir()?;
    let told = files.path().join("told");
    let folder = squares(&format!("on_done = {}", command(&told)))?;
    let job = swarm.submit(&folder.manifest())?;
    let said = wait_until("the command's end", LIMIT, || Ok(fs::read_to_string(&told).ok()))?;
    ensure!(said == format!("done {job} done\n"), "it was told {said:?}");
    swarm.stop()?;

    fs::remove_file(&told)?;
    let gleaner = end_to_end::Gleaner::find()?;
    gleaner.run(&folder.manifest())?;
    let said = fs::read_to_string(&told).context("run ended before its command had")?;
    ensure!(said == "done job-1 done\n", "it was told {said:?}");
    Ok(())
}

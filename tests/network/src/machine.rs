//! One machine: what a person at it does.

use std::cell::Cell;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use end_to_end::{Answer, Gleaner, Process, workspace_folder};
use tempfile::TempDir;

use crate::Transcript;
use crate::lan::Namespace;
use crate::terminal::Terminal;

/// The variable that names an archive to unpack on each machine.
const ARCHIVE: &str = "GLEANER_ARCHIVE";

const UNPACK_LIMIT: Duration = Duration::from_secs(60);

/// A machine with an address, a home and the program. What is done on it goes into the transcript.
pub struct Machine {
    name: &'static str,
    gleaner: Gleaner,
    address: String,
    transcript: Arc<Transcript>,
    /// How many commands run until they are stopped.
    started: Cell<u32>,
    /// Before the folder, so that it is removed when nothing runs in it any more.
    namespace: Namespace,
    home: TempDir,
}

impl Machine {
    pub(crate) fn new(
        name: &'static str,
        gleaner: &Gleaner,
        namespace: Namespace,
        address: String,
        transcript: &Arc<Transcript>,
    ) -> Result<Self> {
        let home = tempfile::tempdir().context("cannot make a folder")?;
        let transcript = Arc::clone(transcript);
        let started = Cell::new(0);
        let gleaner = gleaner.clone();
        Ok(Self { name, gleaner, address, transcript, started, namespace, home })
    }

    /// Puts the program there, and the example job: out of the archive that `GLEANER_ARCHIVE`
    /// names, or, if it names none, as they were built.
    ///
    /// # Errors
    /// When the archive cannot be unpacked, or the example is not built.
    pub fn install(&mut self) -> Result<()> {
        let place = match env::var_os(ARCHIVE) {
            Some(archive) => {
                let place = self.unpack(Path::new(&archive))?;
                self.gleaner = Gleaner::at(&place.join("gleaner"))?;
                place
            }
            None => {
                let example = workspace_folder().join("jobs/planets");
                let jobs = self.home.path().join("jobs");
                std::fs::create_dir(&jobs).context("cannot make a folder")?;
                run(Command::new("cp").arg("-r").arg(&example).arg(&jobs))?;
                self.home.path().to_owned()
            }
        };
        let place = place.to_str().context("a path is text")?;
        let inside = ["env", "--chdir", place, "CARGO_NET_OFFLINE=true"];
        let target = workspace_folder().canonicalize()?.join("target/authors");
        let target = format!("CARGO_TARGET_DIR={}", target.display());
        let launcher = [&self.namespace.launcher()[..], &inside, &[&target]].concat();
        self.gleaner = self.gleaner.behind(&launcher);
        Ok(())
    }

    /// Unpacks an archive in its home and gives the folder that was in it.
    fn unpack(&self, archive: &Path) -> Result<PathBuf> {
        let file = archive.file_name().context("an archive has a name")?.to_string_lossy();
        let folder = file.strip_suffix(".tar.gz").context("the archive ends in .tar.gz")?;
        self.transcript.say(&format!("{}$ tar -xf {file} && cd {folder}", self.name));
        run(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(self.home.path()))?;
        Ok(self.home.path().join(folder))
    }

    /// Its address, without the prefix.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its home, for whatever is to be put there.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The program's data folder.
    pub fn data(&self) -> PathBuf {
        self.home.path().join(".local/share/gleaner")
    }

    /// Gives it another address, as a router does overnight.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn move_to(&mut self, address: &str) -> Result<()> {
        self.namespace.ip(&["addr", "flush", "dev", "eth0", "scope", "global"])?;
        self.namespace.ip(&["addr", "add", &format!("{address}/24"), "dev", "eth0"])?;
        self.address = address.to_owned();
        Ok(())
    }

    /// Runs a command of the program's that must succeed and gives what it printed.
    ///
    /// # Errors
    /// When it fails, with its own words.
    pub fn tell(&self, arguments: &[&str]) -> Result<String> {
        let answer = self.ask(arguments)?;
        if answer.code != 0 {
            bail!("`gleaner {}` failed, {}: {}", arguments.join(" "), answer.status, answer.stderr);
        }
        Ok(answer.stdout)
    }

    /// Runs a command of the program's and gives its answer, whatever it is.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn ask(&self, arguments: &[&str]) -> Result<Answer> {
        self.typed(arguments, "");
        let answer = self.gleaner.ask(&self.data(), arguments)?;
        self.show(&format!("{}{}", answer.stderr, answer.stdout));
        Ok(answer)
    }

    /// As [`Machine::tell`], for what is asked again and again: not shown.
    ///
    /// # Errors
    /// When it fails, with its own words.
    pub fn quietly(&self, arguments: &[&str]) -> Result<String> {
        self.gleaner.tell(&self.data(), arguments)
    }

    /// Starts a command that runs until it is stopped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, arguments: &[&str]) -> Result<Process> {
        self.typed(arguments, " &");
        let mut command = self.gleaner.command(&self.data());
        Process::start(self.name, command.args(arguments), &self.log())
    }

    /// Starts a command at a terminal of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_at_terminal(&self, arguments: &[&str]) -> Result<Terminal> {
        self.typed(arguments, "");
        let mut command = self.gleaner.command(&self.data());
        Terminal::start(self.name, command.args(arguments), &self.log())
    }

    /// Puts what a command that runs has said into the transcript.
    pub fn show(&self, said: &str) {
        let home = self.home.path().display().to_string();
        self.transcript.say(&said.replace(&home, "~"));
    }

    fn typed(&self, arguments: &[&str], end: &str) {
        self.show(&format!("{}$ gleaner {}{end}", self.name, shown(arguments)));
    }

    /// A file for what one more command says.
    fn log(&self) -> PathBuf {
        self.started.set(self.started.get() + 1);
        self.home.path().join(format!("{}-{}.log", self.name, self.started.get()))
    }
}

fn run(command: &mut Command) -> Result<()> {
    let answer = Answer::of(command, UNPACK_LIMIT)?;
    if answer.code != 0 {
        bail!("{} failed: {}", command.get_program().display(), answer.stderr);
    }
    Ok(())
}

/// The arguments as they are typed, a ticket's middle left out.
fn shown(arguments: &[&str]) -> String {
    let short = |word: &&str| match (word.len(), word.contains(' ')) {
        (81.., _) => format!("{}…", &word[..16]),
        (_, true) => format!("'{word}'"),
        _ => (*word).to_owned(),
    };
    arguments.iter().map(short).collect::<Vec<_>>().join(" ")
}

//! Files that are no modules, and modules made to do harm: each is refused with its words, by the
//! commands before anything is sent, and by the coordinator when they are passed over.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use end_to_end::{JobFolder, Swarm, task_module};
use gleaner_client::{Client, JobFile, new_submission_id};

/// What stands in the place of a module, and words of its refusal.
struct Hostile {
    what: &'static str,
    module: fn() -> Result<Vec<u8>>,
    words: &'static [&'static str],
}

const TASK: &str = r#"(func (export "gleaner_1:task:run") (result i32) (i32.const 0))"#;
const MEMORY: &str = r#"(memory (export "memory") 1)"#;

const HOSTILE: [Hostile; 10] = [
    Hostile {
        what: "a script",
        module: || Ok(b"#!/bin/sh\nrm -rf /\n".to_vec()),
        words: &["no WebAssembly module", "#!/bin/s"],
    },
    Hostile { what: "an empty file", module: || Ok(vec![]), words: &["no WebAssembly module"] },
    Hostile {
        what: "a component",
        module: || Ok(b"\0asm\x0d\0\x01\0".to_vec()),
        words: &["a WebAssembly component"],
    },
    Hostile {
        what: "half a module",
        module: || {
            let whole = fs::read(task_module("test_tasks.wasm")?)?;
            Ok(whole[..whole.len() / 2].to_vec())
        },
        words: &["not valid WebAssembly", "unexpected end"],
    },
    Hostile {
        what: "a module without a task",
        module: || text(&format!("(module {MEMORY})")),
        words: &["exports no task", "gleaner_1:task:NAME"],
    },
    Hostile {
        what: "a module that wants an operating system",
        module: || {
            text(&format!(
                r#"(module (import "wasi_snapshot_preview1" "fd_write"
                     (func (param i32 i32 i32 i32) (result i32))) {MEMORY} {TASK})"#
            ))
        },
        words: &["fd_write", "wasi_snapshot_preview1", "wasm32-unknown-unknown"],
    },
    Hostile {
        what: "a module that runs as soon as it is there",
        module: || text(&format!("(module {MEMORY} {TASK} (func $first) (start $first))")),
        words: &["start function"],
    },
    Hostile {
        what: "loops nested to exhaust the compiler",
        module: || {
            let nested = format!("{}{}", "loop ".repeat(2000), "end ".repeat(2000));
            text(&format!("(module {MEMORY} {TASK} (func $bomb {nested}))"))
        },
        words: &["nests loops deeper than 64"],
    },
    Hostile {
        what: "a function too long for the compiler",
        module: || {
            let long = "i32.const 1 drop ".repeat(500_000);
            text(&format!("(module {MEMORY} {TASK} (func $bomb {long}))"))
        },
        words: &["function 1 has", "the limit is 1048576"],
    },
    Hostile {
        what: "more than a module may have",
        module: || {
            let mut wasm = text(&format!("(module {MEMORY} {TASK})"))?;
            wasm.resize((64 << 20) + 1, 0);
            Ok(wasm)
        },
        words: &["67108864"],
    },
];

fn text(module: &str) -> Result<Vec<u8>> {
    wat::parse_str(module).context("the text is a module")
}

impl Hostile {
    fn folder(&self) -> Result<JobFolder> {
        let folder = JobFolder::new(
            "[job]\nname = \"harm\"\n[[stage]]\nname = \"s\"\nmodule = \"harm.wasm\"\n\
             reduce = \"lines\"\nrange = { field = \"number\", end = 3 }\n",
        )?;
        folder.add("harm.wasm", &(self.module)()?)?;
        Ok(folder)
    }

    fn check(&self, by: &str, said: &str) -> Result<()> {
        for words in self.words {
            ensure!(said.contains(words), "{}: `{by}` says {said:?}, not {words:?}", self.what);
        }
        Ok(())
    }
}

#[test]
fn a_hostile_module_is_refused_in_words_by_every_command_and_by_the_coordinator() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let client = Client::open(&swarm.coordinator_folder())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for hostile in &HOSTILE {
        let folder = hostile.folder()?;
        let manifest = folder.manifest();
        let path = manifest.to_str().context("a path is text")?;
        for command in ["submit", "run", "check"] {
            let answer = swarm.ask(&[command, path])?;
            ensure!(answer.code == 1, "{}: `{command}` ended with {answer:?}", hostile.what);
            hostile.check(command, &answer.stderr)?;
            ensure!(answer.stderr.contains("hint:"), "{}: no hint: {answer:?}", hostile.what);
        }
        // A submitter whose program checks nothing.
        let job = match JobFile::read(&manifest)?.prepare() {
            Ok(job) => job,
            Err(error) => {
                hostile.check("prepare", &error.to_string())?;
                continue;
            }
        };
        match runtime.block_on(client.submit_prepared(&job, new_submission_id())) {
            Ok(job) => bail!("{} became {job}", hostile.what),
            Err(error) => hostile.check("the coordinator", &error.to_string())?,
        }
    }
    ensure!(swarm.tell(&["jobs", "--json"])?.trim() == "[]", "a job is there");
    swarm.stop()
}

//! The program as a process, where no server is needed.

#![allow(clippy::unwrap_used, reason = "a test may panic wherever something is not as it set up")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use expect_test::{Expect, expect};
use gleaner_protocol::{ProjectId, Ticket};
use tempfile::TempDir;

/// A module, but no task's.
const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";

const MANIFEST: &str = "[job]\nname = \"a\"\n[[stage]]\nname = \"s\"\nmodule = \"m.wasm\"\n\
                        range = { field = \"i\", end = 3 }\nreduce = \"lines\"\n";

/// A submitter's key.
const KEY: &str = "submitter-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn gleaner(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gleaner"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("GLEANER_DATA", "data")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The exit code and what was said, with the folder's own name left out.
fn answer(folder: &Path, arguments: &[&str]) -> String {
    let output = gleaner(folder, arguments);
    let code = output.status.code().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    format!("{code}\n{out}{err}").replace(folder.to_str().unwrap(), "FOLDER")
}

fn check(folder: &Path, arguments: &[&str], expected: Expect) {
    expected.assert_eq(&answer(folder, arguments));
}

fn folder_with(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let folder = folder_with(&[]);
    let commands: &[&[&str]] = &[
        &[],
        &["coordinator"],
        &["coordinator", "init"],
        &["coordinator", "start"],
        &["coordinator", "invite"],
        &["coordinator", "submitter"],
        &["coordinator", "submitter", "add"],
        &["coordinator", "submitter", "list"],
        &["coordinator", "submitter", "remove"],
        &["worker"],
        &["worker", "join"],
        &["worker", "start"],
        &["worker", "projects"],
        &["worker", "leave"],
        &["project"],
        &["project", "sign"],
        &["use"],
        &["submitter"],
        &["submitter", "key"],
        &["submit"],
        &["jobs"],
        &["schema"],
        &["workers"],
        &["status"],
        &["watch"],
        &["results"],
        &["units"],
        &["logs"],
        &["why"],
        &["pause"],
        &["resume"],
        &["priority"],
        &["cancel"],
        &["retry"],
        &["run"],
        &["new"],
        &["build"],
        &["check"],
        &["test"],
    ];
    for &command in commands {
        let output = gleaner(folder.path(), &[command, &["--help"]].concat());
        let help = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert!(help.contains("Example") && help.contains("gleaner "), "{command:?}: {help}");
    }
    let help = answer(folder.path(), &["--help"]);
    assert!(help.contains("5  the coordinator cannot be reached"), "{help}");
    assert!(!help.contains("slot") && !help.contains("compile"), "{help}");
}

#[test]
fn every_page_of_the_manual_has_the_sections_that_manuals_have() {
    let folder = folder_with(&[]);
    assert_eq!(gleaner(folder.path(), &["manual", "."]).status.code(), Some(0));
    let pages: Vec<_> = fs::read_dir(folder.path().join("man1")).unwrap().collect();
    assert!(pages.len() > 40, "{pages:?}");
    for page in pages {
        let text = fs::read_to_string(page.unwrap().path()).unwrap();
        for section in ["SYNOPSIS", "DESCRIPTION", "EXAMPLES", "\"EXIT STATUS\"", "ENVIRONMENT"] {
            assert!(text.contains(&format!(".SH {section}\n")), "no {section}: {text}");
        }
        for words in ["\\fBGLEANER_DATA\\fR", "some of its items failed", "[OPTIONS]"] {
            assert!(text.contains(words), "no {words}: {text}");
        }
        assert!(!text.contains("EXTRA") && !text.contains("subcommands"), "{text}");
    }
    let page = fs::read_to_string(folder.path().join("man1/gleaner-worker-join.1")).unwrap();
    assert!(page.contains("\\fBgleaner worker join\\fR [OPTIONS] <TICKET>\n"), "{page}");
    assert!(page.contains("gleaner(1), gleaner\\-worker(1)\n"), "{page}");
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let folder = folder_with(&[]);
    for arguments in [
        &["nonsense"][..],
        &["status"],
        &["status", ""],
        &["logs", "job-7"],
        &["priority", "job-7"],
        &["priority", "job-7", "1001"],
        &["jobs", "--colour"],
        &["worker", "start", "--slots", "0"],
        &["worker", "join", "gleaner1xyz"],
        &["worker", "leave"],
        &["coordinator", "invite", "--members"],
        &["coordinator", "invite", "--uses", "0"],
        &["coordinator", "invite", "--list", "--revoke", "1"],
        &["coordinator", "invite", "--list", "--valid", "1d"],
        &["coordinator", "invite", "--revoke", "invitation-1", "--valid", "7d"],
        &["coordinator", "invite", "--valid", "7"],
        &["coordinator", "submitter", "add", "ada", "worker-x"],
        &["coordinator", "submitter", "add", "ada", KEY, "--weight", "0"],
        &["coordinator", "submitter", "add", "ada", KEY, "--storage", "20"],
        &["use", "gleaner1xyz"],
        &["use", "--name", "stars"],
        &["run", "job.toml", "--project", "stars"],
        &[],
    ] {
        assert_eq!(gleaner(folder.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
    check(
        folder.path(),
        &["status"],
        expect![[r#"
        2
        error: the following required arguments were not provided:
          <JOB>

        Usage: gleaner status <JOB>

        For more information, try '--help'.
    "#]],
    );
    check(
        folder.path(),
        &["priority", "job-7", "high"],
        expect![[r#"
        2
        error: invalid value 'high' for '<N>': write a whole number from -1000 to 1000

        For more information, try '--help'.
    "#]],
    );
    check(
        folder.path(),
        &["coordinator", "start", "--port", "99999"],
        expect![[r#"
        2
        error: invalid value '99999' for '--port <PORT>': write a whole number from 0 to 65535

        For more information, try '--help'.
    "#]],
    );
    check(
        folder.path(),
        &["logs", "x"],
        expect![[r#"
        2
        error: invalid value 'x' for '<UNIT>': `x` is no unit id: expected the form `unit-7.42`

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn a_missing_or_unsound_manifest_is_said_in_two_lines() {
    let folder = folder_with(&[
        ("job.toml", MANIFEST.as_bytes()),
        ("typo.toml", b"[job]\nname = \"a\"\nquorm = 2\n"),
        ("escape.toml", b"[job]\nname = \"a\"\n\"\\u001b[2J\" = 2\n"),
        ("binary.toml", b"[job]\nname = \"\xff\"\n"),
    ]);
    check(
        folder.path(),
        &["submit", "nowhere.toml"],
        expect![[r#"
        1
        error: cannot read the manifest "nowhere.toml": No such file or directory (os error 2)
        hint: give the path of a job.toml
    "#]],
    );
    check(
        folder.path(),
        &["submit", "typo.toml"],
        expect![[r#"
        1
        error: typo.toml: line 3, column 1: `job.quorm` is no key of a manifest
        hint: did you mean `quorum`?
    "#]],
    );
    check(
        folder.path(),
        &["submit", "escape.toml"],
        expect![[r#"
        1
        error: escape.toml: line 3, column 1: `job.\u{1b}[2J` is no key of a manifest
        hint: the keys here are `name`, `seed`, `priority`, `quorum`, `max_attempts`, `on_failure` and `keep`
    "#]],
    );
    check(
        folder.path(),
        &["submit", "binary.toml"],
        expect![[r#"
        1
        error: the manifest "binary.toml" is no text: byte 14 is not UTF-8
        hint: save it as UTF-8
    "#]],
    );
    check(
        folder.path(),
        &["submit", "job.toml"],
        expect![[r#"
        1
        error: job.toml: line 5, column 10: `stage.s.module` names "m.wasm", which cannot be read: No such file or directory (os error 2)
        hint: paths in a manifest are relative to the manifest's folder
    "#]],
    );
    check(
        folder.path(),
        &["submit", "typo.toml", "--json"],
        expect![[r#"
        1
        {"error":"typo.toml: line 3, column 1: `job.quorm` is no key of a manifest","hint":"did you mean `quorum`?"}
    "#]],
    );
}

#[test]
fn a_setting_is_as_strict_as_the_manifest_and_says_so() {
    let folder = folder_with(&[("job.toml", MANIFEST.as_bytes())]);
    check(
        folder.path(),
        &["submit", "job.toml", "--set", "job.seed=1", "--set", "unit_itms=2"],
        expect![[r#"
        1
        error: job.toml: --set unit_itms=2: `stage.s.unit_itms` is no key of a manifest
        hint: did you mean `unit_items`?
    "#]],
    );
    check(
        folder.path(),
        &["run", "job.toml", "--name", "a b"],
        expect![[r#"
        1
        error: job.toml: --name a b: `job.name` is "a b", which cannot be a name
        hint: use 1 to 128 letters, digits, `-`, `_` or `.`
    "#]],
    );
    check(
        folder.path(),
        &["submit", "job.toml", "--set", "module=\"n.wasm\""],
        expect![[r#"
        1
        error: job.toml: --set module="n.wasm": `stage.s.module` names "n.wasm", which cannot be read: No such file or directory (os error 2)
        hint: paths in a manifest are relative to the manifest's folder
    "#]],
    );
    check(
        folder.path(),
        &["submit", "job.toml", "--set", "job.name=planets"],
        expect![[r#"
        2
        error: invalid value 'job.name=planets' for '--set <KEY=VALUE>': `planets` is no value of TOML: write a number, true or false, a list, or a text in quotes that the shell leaves alone: 'job.name="text"'

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn a_module_is_checked_before_anything_is_sent() {
    let folder = folder_with(&[("job.toml", MANIFEST.as_bytes()), ("m.wasm", b"no wasm")]);
    let words = answer(folder.path(), &["submit", "job.toml"]);
    assert!(words.starts_with("1\nerror: the module m.wasm cannot be run: "), "{words}");
    assert!(words.contains("\nhint: "), "{words}");
    fs::write(folder.path().join("m.wasm"), EMPTY_MODULE).unwrap();
    let words = answer(folder.path(), &["submit", "job.toml"]);
    assert!(words.starts_with("1\nerror: ") && words.contains("\nhint: "), "{words}");
}

#[test]
fn a_coordinator_that_is_not_there_has_its_own_exit_code() {
    let folder = folder_with(&[]);
    check(
        folder.path(),
        &["jobs"],
        expect![[r#"
        5
        error: there is no coordinator in "data/coordinator"
        hint: make one with `gleaner coordinator init` and start it with `gleaner coordinator start`, or choose another folder with --data
    "#]],
    );
    let coordinator = folder.path().join("data/coordinator");
    fs::create_dir_all(&coordinator).unwrap();
    check(
        folder.path(),
        &["jobs"],
        expect![[r#"
        5
        error: no coordinator is running on "data/coordinator"
        hint: start it with `gleaner coordinator start`
    "#]],
    );

    // A port that was free a moment ago, and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fs::write(coordinator.join("api-address"), free.to_string()).unwrap();
    fs::write(coordinator.join("api-token"), "token").unwrap();
    for arguments in [&["status", "7"][..], &["watch", "job-7"], &["results", "7"]] {
        let output = gleaner(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(5), "{arguments:?}");
    }
}

#[test]
fn projects_elsewhere_are_chosen_by_name() {
    let folder = folder_with(&[]);
    check(
        folder.path(),
        &["use"],
        expect![[r#"
        0
        *  local  the coordinator of this machine
    "#]],
    );
    check(
        folder.path(),
        &["use", "stars"],
        expect![[r#"
        1
        error: no project is called "stars" here
        hint: known here: local; a new one comes with its ticket: `gleaner use TICKET`
    "#]],
    );
    check(
        folder.path(),
        &["jobs", "--project", "stars"],
        expect![[r#"
        1
        error: no project is called "stars" here
        hint: known here: local; a new one comes with its ticket: `gleaner use TICKET`
    "#]],
    );
    for name in ["stars", "planets"] {
        let ticket = ticket(name);
        let output = gleaner(folder.path(), &["use", &ticket, "--json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let used: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let key = gleaner(folder.path(), &["submitter", "key"]).stdout;
        assert_eq!(used["submitter"], String::from_utf8(key).unwrap().trim(), "one key for all");
    }
    check(
        folder.path(),
        &["use", "stars"],
        expect![[r#"
        0
        stars is in use
    "#]],
    );
    check(
        folder.path(),
        &["use"],
        expect![[r#"
        0
           planets  a4dq-obyh-a4dq
        *  stars    aucq-kbif-aucq
           local    the coordinator of this machine
    "#]],
    );
    check(
        folder.path(),
        &["use", &ticket("local")],
        expect![[r#"
        1
        error: a project cannot be called "local" here
        hint: give it a name of 1 to 128 bytes without control characters, other than `local`, with --name NAME
    "#]],
    );
    check(
        folder.path(),
        &["use", "local"],
        expect![[r#"
        0
        the coordinator of this machine is in use
    "#]],
    );
    let key = folder.path().join("data/submitter/submitter.key");
    fs::remove_file(&key).unwrap();
    fs::write(&key, "nothing").unwrap();
    let answer = answer(folder.path(), &["jobs", "--project", "stars"]);
    assert!(answer.starts_with("1\nerror: "), "{answer}");
}

/// A ticket of a project that nobody serves.
fn ticket(name: &str) -> String {
    let peer = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    let addresses = vec![format!("/ip4/127.0.0.1/tcp/9/p2p/{peer}")];
    let project = ProjectId([name.len() as u8; 32]);
    Ticket { project, name: name.into(), addresses, invitation: None }.to_string()
}

#[test]
fn a_folder_in_use_is_refused_before_a_job_is_run() {
    let task = "(module (memory (export \"memory\") 1)
        (func (export \"gleaner_1:task:run\") (result i32) i32.const 0))";
    let module = wat::parse_str(task).unwrap();
    let folder = folder_with(&[("job.toml", MANIFEST.as_bytes()), ("m.wasm", &module)]);
    check(
        folder.path(),
        &["run", "job.toml", "-o", "."],
        expect![[r#"
        1
        error: the folder "." is not empty
        hint: choose another folder with -o DIR, or put the output into it with --force
    "#]],
    );
    check(
        folder.path(),
        &["submit", "job.toml"],
        expect![[r#"
        5
        error: there is no coordinator in "data/coordinator"
        hint: make one with `gleaner coordinator init` and start it with `gleaner coordinator start`, or choose another folder with --data
    "#]],
    );
}

#[test]
#[cfg(unix)]
fn a_reader_that_has_gone_is_no_failure() {
    let folder = folder_with(&[]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_gleaner"))
        .arg("--help")
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_new_task_crate_is_whole_and_takes_nobodys_place() {
    let folder = folder_with(&[]);
    check(
        folder.path(),
        &["new", "my-task"],
        expect![[r#"
            0
            made my-task: a task, a merge, their tests, and a job of 100 items
            next: cd my-task && cargo test && gleaner build && gleaner run job.toml
        "#]],
    );
    for file in ["Cargo.toml", "src/lib.rs", "job.toml", "vendor/gleaner-sdk/macros/Cargo.toml"] {
        assert!(folder.path().join("my-task").join(file).is_file(), "{file}");
    }
    check(
        folder.path(),
        &["new", "my-task"],
        expect![[r#"
            1
            error: "my-task" is there already
            hint: choose another name, or another folder with --path DIR
        "#]],
    );
    check(
        folder.path(),
        &["new", "Ünfit"],
        expect![[r#"
            1
            error: "Ünfit" cannot name a task crate: it holds 'Ü'
            hint: use 1 to 64 lower-case letters a to z, digits, `-` and `_`, a letter first
        "#]],
    );
    check(
        folder.path(),
        &["new", "other", "--path", "nowhere/other"],
        expect![[r#"
            1
            error: cannot make the folder "nowhere/other": No such file or directory (os error 2)
        "#]],
    );
    assert!(!folder.path().join("nowhere").exists());
}

#[test]
fn what_is_no_crate_and_no_job_is_said() {
    let folder = folder_with(&[("job.toml", MANIFEST.as_bytes())]);
    fs::create_dir(folder.path().join("empty")).unwrap();
    check(
        folder.path(),
        &["build", "empty"],
        expect![[r#"
            1
            error: there is no crate at "empty": "empty/Cargo.toml" is no file
            hint: give the folder of a crate, or make one with `gleaner new NAME`
        "#]],
    );
    check(
        folder.path(),
        &["check", "empty"],
        expect![[r#"
            1
            error: there is no job.toml in the folder "empty"
            hint: give the path of a manifest, or make a crate with one by `gleaner new NAME`
        "#]],
    );
    check(
        folder.path(),
        &["check", "nowhere.wasm"],
        expect![[r#"
            1
            error: cannot read the module "nowhere.wasm": No such file or directory (os error 2)
        "#]],
    );
}

#[test]
fn a_crate_cannot_be_built_where_there_is_no_rust() {
    let folder = folder_with(&[]);
    assert_eq!(gleaner(folder.path(), &["new", "pi"]).status.code(), Some(0));
    let output = Command::new(env!("CARGO_BIN_EXE_gleaner"))
        .args(["build", "pi"])
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    // Debian's Rust may be there, and is then used by its full path.
    if !Path::new("/usr/bin/rustc").exists() {
        assert!(said.starts_with("error: there is no Rust here: "), "{said}");
        assert!(said.contains("rustup target add wasm32-unknown-unknown"), "{said}");
    }
}

#[test]
fn a_module_and_a_job_are_checked_and_told() {
    let module = r#"(module (import "gleaner_1" "seed" (func $seed (result i64)))
        (memory (export "memory") 1)
        (func (export "gleaner_1:task:run") (result i32) (drop (f64.const 1)) (i32.const 0)))"#;
    let module = wat::parse_str(module).unwrap();
    let folder = folder_with(&[("job.toml", MANIFEST.as_bytes()), ("m.wasm", &module)]);
    check(
        folder.path(),
        &["check"],
        expect![[r#"
            0
            job.toml  the job a
              stage  function  items
              s      run       3

            m.wasm  115 B
              tasks      run
              imports    seed
              memory     65.5 kB at the start, no limit of its own
              functions  2
              floats     in 1 of 2 functions
              vectors    none
        "#]],
    );
    let json = answer(folder.path(), &["check", "m.wasm", "--json"]);
    assert!(json.contains(r#""tasks":["run"]"#), "{json}");

    let bad = r#"(module (memory (export "memory") 1) (func $begin) (start $begin)
        (func (export "gleaner_1:task:run") (result i32) (i32.const 0)))"#;
    fs::write(folder.path().join("m.wasm"), wat::parse_str(bad).unwrap()).unwrap();
    check(
        folder.path(),
        &["check", "m.wasm"],
        expect![[r#"
            1
            error: the module m.wasm cannot be run: it has a start function (function 0), which tasks cannot have (it is `begin`)
            hint: build the task crate with `gleaner build`, with the SDK of this version
        "#]],
    );
}

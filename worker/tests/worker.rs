//! A real worker against a scripted coordinator, over loopback, with real slots.
//!
//! The test program is its own slot program: with `slot` or `compile` as the first argument it is
//! what a worker starts, with `work` a worker process that a test can kill.

#![allow(clippy::unwrap_used, reason = "a test says where it failed")]

#[path = "worker/coordinator.rs"]
mod coordinator;
#[path = "worker/scenarios.rs"]
mod scenarios;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

/// No test takes nearly as long; one that hangs says so.
const LIMIT: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    match first.as_ref().and_then(|first| first.to_str()) {
        Some("slot") => return gleaner_sandbox::slot_main(arguments),
        Some("compile") => return gleaner_sandbox::compile_main(arguments),
        Some("work") => return work(arguments.next().expect("a folder")),
        _ => {}
    }
    let filter = std::env::var("GLEANER_LOG").ok();
    if let Some(filter) = filter {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let mut trials = Vec::new();
    for (name, scenario) in scenarios::ALL {
        trials.push(Trial::test(*name, move || {
            runtime().block_on(async {
                tokio::time::timeout(LIMIT, scenario()).await.map_err(|_| "it hangs".into())
            })
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A worker process: runs until it is killed.
fn work(folder: OsString) -> ExitCode {
    runtime().block_on(async {
        let mut worker = gleaner_worker::start(coordinator::config(folder)).await.expect("starts");
        worker.stopped().await.expect("runs until it is killed");
    });
    ExitCode::SUCCESS
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

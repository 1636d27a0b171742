//! How many files this program may have open.
//!
//! Every worker that a coordinator serves over TCP takes one, as do blobs that are read and requests
//! of the control API; a slot's program is kept open under a number above all those that a slot is
//! given. Systems give a program as few as 256 at first, and more when it asks.

/// Enough for a coordinator with as many connections as it takes, all over TCP, as many more that are
/// being made, and what else it has open; and as many as macOS gives any program.
#[cfg(unix)]
const WANTED: u64 = 10 * 1024;
#[cfg(unix)]
const _: () = assert!(WANTED >= 2 * gleaner_coordinator::CONNECTIONS_MAX_DEFAULT as u64 + 1024);

/// Asks for as many as are wanted, or as the system gives.
pub fn ask_for_enough() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let given = maximum.map_or(WANTED, |maximum| maximum.min(WANTED));
        if current.is_some_and(|current| current < given) {
            // What is refused here is missed later, if ever, and told then.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(given), maximum });
        }
    }
}

/// Tells an operator of a limit below what is wanted: enough for a small project.
pub fn warn_of_few() {
    #[cfg(unix)]
    {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        if let Some(limit) = limit.filter(|limit| *limit < WANTED) {
            tracing::warn!(
                limit,
                wanted = WANTED,
                "few files can be open at a time, so fewer workers can connect over TCP than could \
                 be served; raise the limit (`ulimit -Hn`, or LimitNOFILE= of a service)"
            );
        }
    }
}

//! Logs, to stderr.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The user of a command that has a coordinator and a worker of its own, and tells by itself
    /// what becomes of them: nothing.
    Whole,
    /// The user of a command that ends, who reads what it prints: warnings are enough.
    Command,
    /// The operator of a service, who sees nothing but its log: one line for each job or peer
    /// event as well.
    Service,
}

/// Makes the log that of a service.
type Change = Box<dyn Fn() + Send + Sync>;

/// There is one log in a process.
static TO_SERVICE: OnceLock<Change> = OnceLock::new();

/// Starts logging what `audience` needs and `verbose` steps more of our own. `RUST_LOG` replaces
/// all of that.
pub fn start(verbose: u8, audience: Audience) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(verbose, audience))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_filter_reloading();
    let handle = builder.reload_handle();
    builder.init();
    // A second start would have panicked before.
    let _ = TO_SERVICE.set(Box::new(move || {
        // The log lives as long as the process.
        let _ = handle.reload(filter(verbose, Audience::Service));
    }));
}

/// The command has become a service: from here on its log is what its user sees.
pub fn go_on_as_service() {
    if let Some(change) = TO_SERVICE.get() {
        change();
    }
}

fn filter(verbose: u8, audience: Audience) -> EnvFilter {
    let usual = match (audience, verbose) {
        (Audience::Whole, 0) => "off".to_owned(),
        (Audience::Whole | Audience::Command, steps) => of_ours(steps),
        (Audience::Service, steps) => of_ours(steps.saturating_add(1)),
    };
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual))
}

fn of_ours(steps: u8) -> String {
    let level = match steps {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    format!("warn,gleaner={level}")
}

//! Logs, to stderr.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The user of a command that ends, who reads what it prints: warnings are enough.
    Command,
    /// The operator of a service, who sees nothing but its log: one line for each job or peer
    /// event as well.
    Service,
}

/// Starts logging what `audience` needs and `verbose` steps more of our own. `RUST_LOG` replaces
/// all of that.
pub fn start(verbose: u8, audience: Audience) {
    let steps = match audience {
        Audience::Command => verbose,
        Audience::Service => verbose.saturating_add(1),
    };
    let level = match steps {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,gleaner={level}")));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

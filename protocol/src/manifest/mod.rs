//! The manifest: `job.toml`.

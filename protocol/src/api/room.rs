//! What there is room for.

use serde::{Deserialize, Serialize};

/// What a coordinator has room for, for whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomView {
    /// Jobs of the caller's that run.
    pub jobs_running: u32,
    /// The most that may run; no limit when absent.
    pub jobs_max: Option<u32>,
    /// Bytes of the blobs that the caller's jobs refer to, or that it has sent for jobs to come, each
    /// blob once.
    pub storage_bytes: u64,
    /// The most that there may be; no limit when absent.
    pub storage_bytes_max: Option<u64>,
    /// Bytes that are free on the disk that holds the blobs.
    pub disk_bytes_free: u64,
}

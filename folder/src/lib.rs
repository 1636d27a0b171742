//! A service's data folder: on a disk of this machine, and used by one process at a time.
//!
//! Both are what a store needs to keep its promises: SQLite's log shares memory between the
//! processes of one machine, so a folder that two machines can reach is not safe, and a lock ends
//! with its process, however that ends. Deliberately absent: what lies in a folder.

mod file_system;
mod lock;
mod room;

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod platform;
#[cfg(not(target_os = "linux"))]
#[path = "other.rs"]
mod platform;

pub use file_system::{NetworkFolders, NotLocal, check_local};
pub use lock::{FolderLock, LockError};
pub use room::free_bytes;

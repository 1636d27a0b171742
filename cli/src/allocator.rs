//! How the C library's allocator treats large blocks.
#![allow(unsafe_code, reason = "a setting of the C library without a safe wrapper")]

/// Blocks from this size on, in bytes, are mapped by themselves and given back when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 1024 * 1024;

/// How much at the end of a heap may be free before it is given back, in bytes: as much as glibc
/// allows itself once it has seen blocks of a few MiB.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const SPARE: libc::c_int = 8 * 1024 * 1024;

/// Gives large blocks back as soon as they are freed.
///
/// Left alone, glibc takes ever larger blocks, up to 32 MiB, from its heaps once one of them was
/// freed: with inputs of some MiB, a worker grew to half a gigabyte that it had no use for.
pub fn give_large_blocks_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: no pointers are involved, and no other thread runs yet. A refusal changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, SPARE);
    }
}

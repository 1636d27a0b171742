//! Every cap of the sandbox, in one place, each with its reason.

use std::time::Duration;

use gleaner_protocol::limits::MODULE_BYTES_MAX;

/// The most functions in a module: ten times what a large program compiled with everything has.
pub const MODULE_FUNCTIONS_MAX: u32 = 100_000;

/// The longest function body in bytes. The interpreter loops of whole languages stay below a
/// quarter of it; compilers need time and memory out of proportion to it.
pub const FUNCTION_BYTES_MAX: u64 = 1024 * 1024;

/// The deepest nesting of blocks in a function. A `match` of N arms nests N blocks.
pub const NESTING_DEPTH_MAX: u32 = 1000;

/// The deepest nesting of loops in a function: compile time grows with the square of it, and
/// people write fewer than ten.
pub const LOOP_DEPTH_MAX: u32 = 64;

/// The most entries of a table: each takes a pointer of the host's memory.
pub const TABLE_ENTRIES_MAX: u64 = 1024 * 1024;

/// The native stack that a guest may use. Beyond it is a stack overflow.
pub const GUEST_STACK_BYTES: usize = 1024 * 1024;

/// How many of the functions that were being called are looked at after a trap: those of a panic's
/// own way and a few of the task's.
pub const TRACE_FUNCTIONS_MAX: usize = 32;

/// The main stack of a slot, with room for the guest's and the host functions above it.
pub const PROCESS_STACK_BYTES: u64 = 8 * 1024 * 1024;

/// What a slot may allocate beyond what its task is allowed: the engine, the pipe's buffers.
pub const SLOT_OVERHEAD_BYTES: u64 = 256 * 1024 * 1024;

/// The addresses a slot may reserve beyond its data: a whole 32-bit memory, its guards, the program
/// and the files it maps.
pub const SLOT_ADDRESS_BYTES: u64 = 16 * 1024 * 1024 * 1024;

/// How much of its memory an instance may have written and the pages stay, to be put back by copying;
/// what is beyond it is given back to the system.
pub const MEMORY_RESIDENT_BYTES: usize = 1024 * 1024;

/// How much output a slot gathers before it sends it on, so that a unit of many items with large
/// outputs needs no more memory than one of them.
pub const OUTPUT_GATHERED_BYTES_MAX: usize = 1024 * 1024;

/// How often a slot tells its progress at most.
pub const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// How many units may wait in front of a slot; callers beyond it wait to hand theirs over.
pub const UNITS_QUEUED_MAX: usize = 4096;

/// How long a slot may take to be ready, suspension not counted. It takes 2 ms on an idle machine.
pub const SLOT_START_MAX: Duration = Duration::from_secs(60);

/// The CPU time of one compiling child, if its owner says nothing else.
pub const COMPILE_CPU_DEFAULT: Duration = Duration::from_secs(60);

/// The time of one compiling child: it yields to everything else on the machine, so this is
/// generous.
pub const COMPILE_WALL_MAX: Duration = Duration::from_secs(20 * 60);

/// The memory of one compiling child, if its owner says nothing else.
pub const COMPILE_MEMORY_BYTES_DEFAULT: u64 = 1024 * 1024 * 1024;

/// The largest compiled module. Machine code is some three times its WebAssembly.
pub const ARTIFACT_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// How much of what a dying child says is kept, in bytes.
pub const LAST_WORDS_BYTES_MAX: usize = 1024;

const _: () = assert!(ARTIFACT_BYTES_MAX >= 4 * MODULE_BYTES_MAX);
const _: () = assert!(GUEST_STACK_BYTES as u64 * 2 <= PROCESS_STACK_BYTES);
const _: () = assert!(ARTIFACT_BYTES_MAX < COMPILE_MEMORY_BYTES_DEFAULT);

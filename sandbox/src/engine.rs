//! The one configuration of wasmtime, the same for every task and every machine.
//!
//! What a guest computes depends on none of these settings but on WebAssembly alone; what it costs
//! does. Deliberately absent: epochs and fuel (a slot is stopped by its process), canonical NaNs
//! (the SDK writes them, or `floats` rewrites the module), threads, components, Winch.

use std::num::NonZeroUsize;

use gleaner_protocol::Limits;
use serde::{Deserialize, Serialize};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    Strategy,
};

use crate::limits::{
    GUEST_STACK_BYTES, MEMORY_RESIDENT_BYTES, TABLE_ENTRIES_MAX, TRACE_FUNCTIONS_MAX,
};

/// How hard the compiler tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Effort {
    /// Everything Cranelift has.
    Optimised,
    /// No optimisation: for modules that need too much time or memory otherwise.
    Plain,
}

impl Effort {
    /// The word for it among a child's arguments.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Optimised => "optimised",
            Self::Plain => "plain",
        }
    }

    /// What [`Effort::name`] says.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        [Self::Optimised, Self::Plain].into_iter().find(|effort| effort.name() == name)
    }
}

/// The addresses between a memory and what follows it: a multiple of every page size in use.
const GUARD_BYTES: u64 = 32 * 1024 * 1024;

/// An engine with the settings of all tasks, which maps each instance anew.
///
/// # Errors
/// When wasmtime does not support this machine.
pub(crate) fn engine(effort: Effort) -> wasmtime::Result<Engine> {
    Engine::new(&config(effort, InstanceAllocationStrategy::OnDemand))
}

/// An engine with the settings of all tasks and room for one instance at a time, which stays mapped:
/// what one instance wrote is put back before the next, page by page. To map and to unmap costs an
/// instance that does little most of its time.
///
/// A module of more tables than one, or of many globals, does not fit; [`engine`] takes any.
///
/// # Errors
/// When this system does not tell which pages were written (Linux before 6.7): without that, all
/// would have to be put back.
pub(crate) fn pooled_engine() -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(1)
        .total_memories(1)
        .total_tables(1)
        .max_memory_size(Limits::MEMORY_BYTES_MAX as usize)
        .table_elements(TABLE_ENTRIES_MAX as usize)
        .linear_memory_keep_resident(MEMORY_RESIDENT_BYTES)
        .table_keep_resident(MEMORY_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Yes);
    Engine::new(&config(Effort::Optimised, InstanceAllocationStrategy::Pooling(pool)))
}

fn config(effort: Effort, allocation: InstanceAllocationStrategy) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(match effort {
            Effort::Optimised => OptLevel::Speed,
            Effort::Plain => OptLevel::None,
        })
        .allocation_strategy(allocation)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .cranelift_nan_canonicalization(false)
        .consume_fuel(false)
        .epoch_interruption(false);
    features(&mut config);
    memory(&mut config);
    diagnostics(&mut config);
    config
}

/// The parts of WebAssembly allowed by `check`.
fn features(config: &mut Config) {
    config
        .wasm_relaxed_simd(true)
        .relaxed_simd_deterministic(true)
        .wasm_tail_call(true)
        .wasm_extended_const(true)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false);
}

/// A whole 32-bit memory is reserved, so that no access needs a check and no growth moves it.
fn memory(config: &mut Config) {
    config
        .memory_reservation(Limits::MEMORY_BYTES_MAX)
        .memory_guard_size(GUARD_BYTES)
        .guard_before_linear_memory(true)
        .memory_may_move(false)
        .memory_init_cow(true);
}

/// A trap is told by its kind and the functions it happened in, where the module names them:
/// addresses mean nothing to the author and cost space.
fn diagnostics(config: &mut Config) {
    config
        .wasm_backtrace_max_frames(NonZeroUsize::new(TRACE_FUNCTIONS_MAX))
        .generate_address_map(false)
        .debug_info(false);
}

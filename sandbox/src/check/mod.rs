//! What a module must be before a compiler sees it.
//!
//! Compilers take out of proportion long for some modules, and wasmtime counts that as no bug, so
//! the shapes known to do it are refused here, by a single pass that needs time and memory in
//! proportion to the module. The same pass refuses what a task cannot have: imports that are not
//! the interface, a start function, shared memory. Deliberately absent: any judgement of what the
//! module computes.

use std::borrow::Cow;

use gleaner_protocol::Floats;
use gleaner_protocol::limits::{MODULE_BYTES_MAX, NAME_BYTES_MAX};
use serde::{Deserialize, Serialize};
use wasmparser::{
    BinaryReaderError, Export, ExternalKind, FuncToValidate, FuncType, FuncValidatorAllocations,
    FunctionBody, Import, Imports, MemoryType, Operator, Parser, Payload, TableType, TypeRef,
    ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

use crate::floats::make_strict;
use crate::interface;
use crate::limits::{
    FUNCTION_BYTES_MAX, LOOP_DEPTH_MAX, MODULE_FUNCTIONS_MAX, NESTING_DEPTH_MAX, TABLE_ENTRIES_MAX,
};

mod arithmetic;
mod names;
#[cfg(test)]
mod tests;

pub use self::names::function_name;

use self::arithmetic::Arithmetic;

/// The parts of WebAssembly that tasks may use: release 2.0 with SIMD, and of release 3.0 what
/// needs no collector, no threads and no second memory. Relaxed SIMD is compiled to its one
/// deterministic meaning.
const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::RELAXED_SIMD)
    .difference(WasmFeatures::GC_TYPES);

/// A page of WebAssembly's memory.
const PAGE_BYTES: u64 = 64 * 1024;

/// What a module offers and needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleInfo {
    /// The names of its task functions, in the order of its exports.
    pub tasks: Vec<String>,
    /// The names of its merge functions, in the order of its exports.
    pub merges: Vec<String>,
    /// The names of its split functions, in the order of its exports.
    #[serde(default)]
    pub splits: Vec<String>,
    /// The functions of the interface that it imports, in the order of its imports.
    #[serde(default)]
    pub imports: Vec<String>,
    /// Its length in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// The memory it starts with, in bytes.
    pub memory_bytes_min: u64,
    /// The most memory that it can grow to by its own account, in bytes; none when it sets no
    /// limit.
    #[serde(default)]
    pub memory_bytes_max: Option<u64>,
    /// How many functions it has, imported ones included.
    pub functions: u32,
    /// How many of its functions compute with floating-point numbers.
    #[serde(default)]
    pub functions_with_floats: u32,
    /// How many of its functions compute with vectors of 128 bits.
    #[serde(default)]
    pub functions_with_vectors: u32,
}

/// Which rule a module breaks, and where. The same module is refused everywhere: a retry is of no
/// use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ModuleError {
    /// The module is longer than the limit.
    #[error("the module has {bytes} bytes or more; the limit is {max}")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// It does not begin as WebAssembly does.
    #[error("it is no WebAssembly module: it begins with \"{start}\" instead of \"\\0asm\"")]
    NotWebAssembly {
        /// Its first bytes, those that are no letters escaped.
        start: String,
    },
    /// It is a component, of the newer kind of WebAssembly.
    #[error(
        "it is a WebAssembly component; a task is a core module, built for wasm32-unknown-unknown"
    )]
    Component,
    /// It breaks off, breaks a rule of WebAssembly, or uses a part of it that tasks cannot.
    #[error("not valid WebAssembly for a task, at byte {offset}: {reason}")]
    Invalid {
        /// Where.
        offset: u64,
        /// Which rule of WebAssembly.
        reason: String,
    },
    /// It has more functions than the limit.
    #[error("the module has {functions} functions; the limit is {max}")]
    TooManyFunctions {
        /// How many.
        functions: u32,
        /// The limit.
        max: u32,
    },
    /// A function is longer than the limit.
    #[error("function {function} has {bytes} bytes; the limit is {max}: split it")]
    FunctionTooLarge {
        /// The function's number in the module.
        function: u32,
        /// Its length.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The blocks of a function are nested deeper than the limit.
    #[error("function {function} nests blocks deeper than {max} at byte {offset}: split it")]
    NestingTooDeep {
        /// The function's number in the module.
        function: u32,
        /// Where the limit is passed.
        offset: u64,
        /// The limit.
        max: u32,
    },
    /// The loops of a function are nested deeper than the limit.
    #[error("function {function} nests loops deeper than {max} at byte {offset}: split it")]
    LoopsTooDeep {
        /// The function's number in the module.
        function: u32,
        /// Where the limit is passed.
        offset: u64,
        /// The limit.
        max: u32,
    },
    /// It imports what the interface does not have.
    #[error(
        "it imports `{name}` from `{module}` ({kind}), which is no part of the interface \
         `gleaner_1`: build it for wasm32-unknown-unknown with the SDK, without what needs \
         an operating system or a browser"
    )]
    UnknownImport {
        /// The module imported from.
        module: String,
        /// The name imported.
        name: String,
        /// What is imported: a function, a memory, a global, a table, a tag.
        kind: String,
    },
    /// It imports a function of the interface with another type.
    #[error("it imports `{name}` as {found}; the interface has {expected}")]
    ImportType {
        /// The function.
        name: String,
        /// The interface's type.
        expected: String,
        /// The module's type.
        found: String,
    },
    /// It has a start function, which would run before the host can say which item is at hand.
    #[error("it has a start function (function {function}), which tasks cannot have")]
    StartFunction {
        /// The function's number in the module.
        function: u32,
    },
    /// It does not export its memory under the name `memory`.
    #[error("it does not export its memory as `memory`")]
    NoMemory,
    /// It has more than one memory.
    #[error("it has {memories} memories; the limit is 1")]
    SeveralMemories {
        /// How many.
        memories: u32,
    },
    /// Its memory is shared between threads.
    #[error("its memory is shared between threads: build it without `atomics`")]
    SharedMemory,
    /// Its memory has 64-bit addresses.
    #[error("its memory has 64-bit addresses: build it for wasm32")]
    Memory64,
    /// A table is larger than the limit.
    #[error("table {table} starts with {entries} entries; the limit is {max}")]
    TableTooLarge {
        /// The table's number in the module.
        table: u32,
        /// How many entries.
        entries: u64,
        /// The limit.
        max: u64,
    },
    /// An export with the name of a task, a merge or a split is something else than a function `() -> i32`.
    #[error("its export `{export}` is {found}; a task, merge or split is a function () -> i32")]
    ExportType {
        /// The export's name.
        export: String,
        /// What it is.
        found: String,
    },
    /// The name of a task, a merge or a split is empty or longer than the limit.
    #[error("its export `{export}` has a name of {bytes} bytes; names have 1 to {max}")]
    Name {
        /// The start of the export's name.
        export: String,
        /// How long the name is.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// It passes as it is, but not once it is rewritten for [`Floats::Strict`], which makes it
    /// longer.
    #[error("rewritten for `floats = \"strict\"`: {0}")]
    Strict(Box<ModuleError>),
    /// It offers no task, no merge and no split.
    #[error("it exports no task: nothing named `gleaner_1:task:NAME`")]
    NoTask,
}

impl ModuleError {
    /// The number of the function at fault, where one is; [`function_name`] may know its name.
    pub fn function(&self) -> Option<u32> {
        match self {
            Self::FunctionTooLarge { function, .. }
            | Self::NestingTooDeep { function, .. }
            | Self::LoopsTooDeep { function, .. }
            | Self::StartFunction { function } => Some(*function),
            Self::Strict(error) => error.function(),
            _ => None,
        }
    }
}

/// Checks that `wasm` is a module that can be compiled and run as a task, once it is rewritten as
/// `floats` says.
///
/// Time and memory are in proportion to the length of `wasm`.
///
/// # Errors
/// The first rule that the module breaks, in the order of its bytes.
pub fn check_module(wasm: &[u8], floats: Floats) -> Result<ModuleInfo, ModuleError> {
    check_and_rewrite(wasm, floats).map(|(info, _)| info)
}

/// What `wasm` offers, and the module to compile in its place.
pub(crate) fn check_and_rewrite(
    wasm: &[u8],
    floats: Floats,
) -> Result<(ModuleInfo, Cow<'_, [u8]>), ModuleError> {
    let info = check(wasm)?;
    match floats {
        Floats::Plain => Ok((info, Cow::Borrowed(wasm))),
        Floats::Strict => {
            let of_strict = |error| ModuleError::Strict(Box::new(error));
            let strict = make_strict(wasm).map_err(of_strict)?;
            check(&strict).map_err(of_strict)?;
            Ok((info, Cow::Owned(strict)))
        }
    }
}

fn check(wasm: &[u8]) -> Result<ModuleInfo, ModuleError> {
    let bytes = wasm.len() as u64;
    if bytes > MODULE_BYTES_MAX {
        return Err(ModuleError::TooLarge { bytes, max: MODULE_BYTES_MAX });
    }
    check_start(wasm)?;
    let mut validator = Validator::new_with_features(FEATURES);
    let mut checker = Checker::default();
    checker.info.bytes = bytes;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        checker.on_payload(&payload)?;
        if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
            checker.on_function(function, &body)?;
        }
    }
    checker.finish()
}

/// Tells what is something else in words of its own.
fn check_start(wasm: &[u8]) -> Result<(), ModuleError> {
    const MAGIC: &[u8] = b"\0asm";
    const SHOWN_BYTES: usize = 8;
    if !wasm.starts_with(MAGIC) {
        let start = wasm[..wasm.len().min(SHOWN_BYTES)].escape_ascii().to_string();
        return Err(ModuleError::NotWebAssembly { start });
    }
    match wasm.get(MAGIC.len()..) {
        // A layer of 1 after a version of two bytes.
        Some([_, _, 1, 0, ..]) => Err(ModuleError::Component),
        _ => Ok(()),
    }
}

/// What has been seen of a module so far.
#[derive(Default)]
struct Checker {
    info: ModuleInfo,
    types: Vec<FuncType>,
    /// The type of each function, imported ones first.
    functions: Vec<u32>,
    memories: u32,
    tables: u32,
    memory_exported: bool,
    allocations: FuncValidatorAllocations,
}

impl Checker {
    fn on_payload(&mut self, payload: &Payload<'_>) -> Result<(), ModuleError> {
        match payload {
            Payload::TypeSection(types) => {
                for ty in types.clone().into_iter_err_on_gc_types() {
                    self.types.push(ty?);
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.clone() {
                    self.on_import(single(import?)?)?;
                }
            }
            Payload::FunctionSection(functions) => {
                self.check_function_count(functions.count())?;
                for ty in functions.clone() {
                    self.functions.push(ty?);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables.clone() {
                    self.on_table(table?.ty)?;
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories.clone() {
                    self.on_memory(memory?)?;
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports.clone() {
                    self.on_export(export?)?;
                }
            }
            Payload::StartSection { func, .. } => {
                return Err(ModuleError::StartFunction { function: *func });
            }
            _ => {}
        }
        Ok(())
    }

    fn check_function_count(&self, count: u32) -> Result<(), ModuleError> {
        let functions = count.saturating_add(self.functions.len() as u32);
        if functions > MODULE_FUNCTIONS_MAX {
            return Err(ModuleError::TooManyFunctions { functions, max: MODULE_FUNCTIONS_MAX });
        }
        Ok(())
    }

    fn on_import(&mut self, import: Import<'_>) -> Result<(), ModuleError> {
        let TypeRef::Func(ty) = import.ty else { return Err(unknown_import(&import)) };
        let expected = interface::FUNCTIONS
            .iter()
            .find(|function| import.module == interface::MODULE && function.name == import.name)
            .ok_or_else(|| unknown_import(&import))?;
        let found = self.types.get(ty as usize);
        if !found.is_some_and(|found| same_type(found, expected)) {
            return Err(ModuleError::ImportType {
                name: import.name.to_owned(),
                expected: interface::type_in_words(expected.parameters, expected.results),
                found: words_of_type(found),
            });
        }
        self.check_function_count(1)?;
        self.functions.push(ty);
        self.info.imports.push(import.name.to_owned());
        Ok(())
    }

    fn on_table(&mut self, table: TableType) -> Result<(), ModuleError> {
        if table.initial > TABLE_ENTRIES_MAX {
            return Err(ModuleError::TableTooLarge {
                table: self.tables,
                entries: table.initial,
                max: TABLE_ENTRIES_MAX,
            });
        }
        self.tables += 1;
        Ok(())
    }

    fn on_memory(&mut self, memory: MemoryType) -> Result<(), ModuleError> {
        self.memories += 1;
        if self.memories > 1 {
            return Err(ModuleError::SeveralMemories { memories: self.memories });
        }
        if memory.shared {
            return Err(ModuleError::SharedMemory);
        }
        if memory.memory64 {
            return Err(ModuleError::Memory64);
        }
        self.info.memory_bytes_min = memory.initial.saturating_mul(PAGE_BYTES);
        self.info.memory_bytes_max = memory.maximum.map(|pages| pages.saturating_mul(PAGE_BYTES));
        Ok(())
    }

    fn on_export(&mut self, export: Export<'_>) -> Result<(), ModuleError> {
        if export.name == interface::MEMORY && export.kind == ExternalKind::Memory {
            self.memory_exported = true;
        }
        if let Some(name) = export.name.strip_prefix(interface::TASK_PREFIX) {
            self.check_entry(&export, name)?;
            self.info.tasks.push(name.to_owned());
        }
        if let Some(name) = export.name.strip_prefix(interface::MERGE_PREFIX) {
            self.check_entry(&export, name)?;
            self.info.merges.push(name.to_owned());
        }
        if let Some(name) = export.name.strip_prefix(interface::SPLIT_PREFIX) {
            self.check_entry(&export, name)?;
            self.info.splits.push(name.to_owned());
        }
        Ok(())
    }

    fn check_entry(&self, export: &Export<'_>, name: &str) -> Result<(), ModuleError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            let export = export.name.chars().take(NAME_BYTES_MAX).collect();
            return Err(ModuleError::Name { export, bytes: name.len(), max: NAME_BYTES_MAX });
        }
        let wrong = |found: String| ModuleError::ExportType { export: export.name.into(), found };
        if export.kind != ExternalKind::Func {
            return Err(wrong("no function".to_owned()));
        }
        let ty = self.functions.get(export.index as usize);
        let ty = ty.and_then(|ty| self.types.get(*ty as usize));
        match ty {
            Some(ty) if same_type(ty, &interface::ENTRY) => Ok(()),
            other => Err(wrong(format!("a function {}", words_of_type(other)))),
        }
    }

    fn on_function(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
    ) -> Result<(), ModuleError> {
        let index = function.index;
        let bytes = body.range().len() as u64;
        if bytes > FUNCTION_BYTES_MAX {
            let max = FUNCTION_BYTES_MAX;
            return Err(ModuleError::FunctionTooLarge { function: index, bytes, max });
        }
        let mut validator = function.into_validator(std::mem::take(&mut self.allocations));
        validator.read_locals(&mut body.get_binary_reader())?;
        let mut operators = body.get_operators_reader()?;
        let mut nesting = Nesting::default();
        let mut arithmetic = Arithmetic::default();
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            nesting.on_operator(&operator, index, offset as u64)?;
            arithmetic.on_operator(&operator);
            validator.op(offset, &operator)?;
        }
        operators.finish()?;
        self.info.functions_with_floats += u32::from(arithmetic.floats);
        self.info.functions_with_vectors += u32::from(arithmetic.vectors);
        self.allocations = validator.into_allocations();
        Ok(())
    }

    fn finish(mut self) -> Result<ModuleInfo, ModuleError> {
        if !self.memory_exported {
            return Err(ModuleError::NoMemory);
        }
        let ModuleInfo { tasks, merges, splits, .. } = &self.info;
        if tasks.is_empty() && merges.is_empty() && splits.is_empty() {
            return Err(ModuleError::NoTask);
        }
        self.info.functions = self.functions.len() as u32;
        Ok(self.info)
    }
}

/// The blocks open at one place of a function.
#[derive(Default)]
struct Nesting {
    /// Whether each open block is a loop, outermost first.
    blocks: Vec<bool>,
    loops: u32,
}

impl Nesting {
    fn on_operator(
        &mut self,
        operator: &Operator<'_>,
        function: u32,
        offset: u64,
    ) -> Result<(), ModuleError> {
        match operator {
            Operator::Block { .. } | Operator::If { .. } => self.blocks.push(false),
            Operator::Loop { .. } => {
                self.blocks.push(true);
                self.loops += 1;
            }
            Operator::End => {
                let is_loop = self.blocks.pop() == Some(true);
                self.loops -= u32::from(is_loop);
            }
            _ => {}
        }
        if self.loops > LOOP_DEPTH_MAX {
            return Err(ModuleError::LoopsTooDeep { function, offset, max: LOOP_DEPTH_MAX });
        }
        if self.blocks.len() > NESTING_DEPTH_MAX as usize {
            return Err(ModuleError::NestingTooDeep { function, offset, max: NESTING_DEPTH_MAX });
        }
        Ok(())
    }
}

impl From<BinaryReaderError> for ModuleError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Invalid { offset: error.offset() as u64, reason: error.message().to_owned() }
    }
}

/// The import in a group of one: groups of several are a proposal that tasks cannot use.
fn single(imports: Imports<'_>) -> Result<Import<'_>, ModuleError> {
    match imports {
        Imports::Single(_, import) => Ok(import),
        Imports::Compact1 { .. } | Imports::Compact2 { .. } => Err(ModuleError::Invalid {
            offset: 0,
            reason: "compact imports are not supported".to_owned(),
        }),
    }
}

fn same_type(found: &FuncType, expected: &interface::HostFunction) -> bool {
    found.params() == expected.parameters && found.results() == expected.results
}

fn words_of_type(ty: Option<&FuncType>) -> String {
    ty.map_or("of an unknown type".to_owned(), |ty| {
        interface::type_in_words(ty.params(), ty.results())
    })
}

fn unknown_import(import: &Import<'_>) -> ModuleError {
    let kind = match import.ty {
        TypeRef::Func(_) | TypeRef::FuncExact(_) => "a function",
        TypeRef::Table(_) => "a table",
        TypeRef::Memory(_) => "a memory",
        TypeRef::Global(_) => "a global",
        TypeRef::Tag(_) => "a tag",
    };
    let start = |text: &str| text.chars().take(NAME_BYTES_MAX).collect();
    ModuleError::UnknownImport {
        module: start(import.module),
        name: start(import.name),
        kind: kind.to_owned(),
    }
}

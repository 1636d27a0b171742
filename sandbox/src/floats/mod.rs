//! `floats = "strict"`: a module rewritten so that no bit of a NaN that a processor may choose gets
//! out.
//!
//! The one freedom that WebAssembly leaves to a processor is the sign and the payload of a NaN that
//! arithmetic gives (core specification, "NaN propagation"). That a value is a NaN is the same
//! everywhere, and so is everything computed from it as a number. Its bits can show only where they
//! are taken for something else, so just there a NaN becomes the canonical one:
//!
//! - a scalar before it is stored, reinterpreted as an integer, taken for its sign (`copysign`), put
//!   into a lane of a vector or into a global;
//! - a vector after arithmetic on its lanes, because nothing tells later what a vector holds; not
//!   yet when the next instruction takes it as floats of the same width, so that a chain of
//!   arithmetic pays once.
//!
//! Invariants: the bits of integers, memory, globals and of every vector that more than one
//! instruction sees are the same on every machine, whatever its NaNs; functions, locals and labels
//! keep their numbers. The host takes one float from a guest, the progress, and nothing of a NaN in
//! it. Deliberately absent: any following of values through locals and blocks. A scalar that was
//! only loaded and is stored at once keeps its bits; one that went through a local is made
//! canonical.

mod operator;
#[cfg(test)]
mod tests;

use gleaner_protocol::limits::MODULE_BYTES_MAX;
use wasm_encoder::{CodeSection, Encode, InstructionSink, Module, RawSection, ValType};
use wasmparser::{BinaryReaderError, FunctionBody, Operator, Parser, Payload};

use self::operator::{Role, Top, Width, role};
use crate::check::ModuleError;

/// A NaN of each width, by its bits.
#[derive(Clone, Copy)]
struct Nans {
    narrow: u32,
    wide: u64,
}

/// What every NaN becomes: positive, with the first bit of its payload alone, which makes it quiet.
const CANONICAL: Nans = Nans { narrow: 0x7fc0_0000, wide: 0x7ff8_0000_0000_0000 };

/// The custom section that names functions; others may speak of places in the code, which move.
const NAMES: &str = "name";

/// The module `wasm`, which has passed the check, so rewritten that it gives the same bytes on
/// every machine that follows WebAssembly.
///
/// Time and memory are in proportion to the length of `wasm`; what comes out is longer, and must
/// pass the check again.
///
/// # Errors
/// When `wasm` is no valid module, or its code becomes longer than a module may be.
pub(crate) fn make_strict(wasm: &[u8]) -> Result<Vec<u8>, ModuleError> {
    rewrite(wasm, |module, writer, operator, bytes| {
        writer.prepare(module.role(operator));
        writer.code.extend_from_slice(bytes);
    })
}

/// Writes an instruction, given decoded and as bytes, and what goes with it.
type Edit = fn(&Rewriter<'_>, &mut Writer, &Operator<'_>, &[u8]);

/// The module `wasm` with `edit` having written each instruction.
fn rewrite(wasm: &[u8], edit: Edit) -> Result<Vec<u8>, ModuleError> {
    let mut rewriter = Rewriter {
        wasm,
        edit,
        module: Module::new(),
        parameters: Vec::new(),
        functions: Vec::new(),
        globals: Vec::new(),
        code: CodeSection::new(),
        bodies: 0,
    };
    for payload in Parser::new(0).parse_all(wasm) {
        rewriter.on_payload(&payload?)?;
    }
    Ok(rewriter.module.finish())
}

/// The module as far as it is written, and what its functions need to know of it.
struct Rewriter<'a> {
    wasm: &'a [u8],
    edit: Edit,
    module: Module,
    /// How many parameters each type of the module has.
    parameters: Vec<u32>,
    /// The type of each function that the module has a body for.
    functions: Vec<u32>,
    /// The width of each global that is a float.
    globals: Vec<Option<Width>>,
    code: CodeSection,
    /// How many bodies are missing from `code`.
    bodies: u32,
}

impl Rewriter<'_> {
    fn on_payload(&mut self, payload: &Payload<'_>) -> Result<(), ModuleError> {
        match payload {
            Payload::CodeSectionStart { count, .. } => {
                self.bodies = *count;
                self.end_code();
                return Ok(());
            }
            Payload::CodeSectionEntry(body) => {
                let body = self.function(body)?;
                self.code.raw(&body);
                check_length(self.code.byte_len() as u64)?;
                self.bodies -= 1;
                self.end_code();
                return Ok(());
            }
            Payload::CustomSection(section) if section.name() != NAMES => return Ok(()),
            _ => self.note(payload)?,
        }
        if let Some((id, range)) = payload.as_section() {
            self.module.section(&RawSection { id, data: &self.wasm[range] });
        }
        Ok(())
    }

    fn end_code(&mut self) {
        if self.bodies == 0 {
            self.module.section(&std::mem::take(&mut self.code));
        }
    }

    /// Keeps what functions need to know of a section that is copied. A task imports functions
    /// alone, which have no bodies.
    fn note(&mut self, payload: &Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::TypeSection(types) => {
                for ty in types.clone().into_iter_err_on_gc_types() {
                    self.parameters.push(ty?.params().len() as u32);
                }
            }
            Payload::FunctionSection(functions) => {
                for ty in functions.clone() {
                    self.functions.push(ty?);
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals.clone() {
                    self.globals.push(Width::of(global?.ty.content_type));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A function's body, rewritten.
    fn function(&self, body: &FunctionBody<'_>) -> Result<Vec<u8>, BinaryReaderError> {
        let ty = self.functions.get(self.code.len() as usize);
        let parameters = ty.and_then(|ty| self.parameters.get(*ty as usize));
        let mut locals = body.get_locals_reader()?;
        let (groups, start) = (locals.get_count(), locals.original_position());
        let mut count = parameters.copied().unwrap_or(0);
        for _ in 0..groups {
            count = count.saturating_add(locals.read()?.0);
        }
        let declared = &self.wasm[start..locals.original_position()];

        let mut writer = Writer { locals: count, ..Writer::default() };
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let start = operators.original_position();
            let operator = operators.read()?;
            let bytes = &self.wasm[start..operators.original_position()];
            (self.edit)(self, &mut writer, &operator, bytes);
        }
        Ok(writer.finish(groups, declared))
    }

    fn role(&self, operator: &Operator<'_>) -> Role {
        let Operator::GlobalSet { global_index } = operator else { return role(operator) };
        let width = self.globals.get(*global_index as usize).copied().flatten();
        width.map_or(Role::Other, Role::Shows)
    }
}

fn check_length(bytes: u64) -> Result<(), ModuleError> {
    if bytes > MODULE_BYTES_MAX {
        return Err(ModuleError::TooLarge { bytes, max: MODULE_BYTES_MAX });
    }
    Ok(())
}

/// A function's code as far as it is written.
#[derive(Default)]
struct Writer {
    code: Vec<u8>,
    top: Top,
    /// How many locals the function has, its parameters included.
    locals: u32,
    /// Whether there is one more: what a vector is kept in while it is compared with itself.
    added: bool,
}

impl Writer {
    /// Writes what an instruction of this role needs to be before it.
    fn prepare(&mut self, role: Role) {
        if let Top::Lanes(width) = self.top
            && !role.takes(width)
        {
            self.replace_nan_lanes(width, CANONICAL);
            self.top = Top::Unknown;
        }
        if let Role::Shows(width) = role
            && self.top != Top::Exact
        {
            self.replace_nan(width, CANONICAL);
        }
        self.top = role.leaves(self.top);
    }

    /// A NaN on top of the stack becomes one of `nans`. As a vector, because comparing and choosing
    /// takes no branch there.
    fn replace_nan(&mut self, width: Width, nans: Nans) {
        match width {
            Width::F32 => InstructionSink::new(&mut self.code).f32x4_splat(),
            Width::F64 => InstructionSink::new(&mut self.code).f64x2_splat(),
        };
        self.replace_nan_lanes(width, nans);
        match width {
            Width::F32 => InstructionSink::new(&mut self.code).f32x4_extract_lane(0),
            Width::F64 => InstructionSink::new(&mut self.code).f64x2_extract_lane(0),
        };
    }

    /// A NaN in a lane of the vector on top of the stack becomes one of `nans`. It is what does not
    /// equal itself.
    fn replace_nan_lanes(&mut self, width: Width, nans: Nans) {
        self.added = true;
        let local = self.locals;
        let lanes = match width {
            Width::F32 => u128::from(nans.narrow) * 0x1_0000_0001_0000_0001_0000_0001,
            Width::F64 => u128::from(nans.wide) * 0x1_0000_0000_0000_0001,
        };
        let mut code = InstructionSink::new(&mut self.code);
        code.local_tee(local).v128_const(lanes.cast_signed()).local_get(local).local_get(local);
        match width {
            Width::F32 => code.f32x4_eq(),
            Width::F64 => code.f64x2_eq(),
        };
        code.v128_bitselect();
    }

    /// The whole body; `declared` are the `groups` of locals that the function had.
    fn finish(self, groups: u32, declared: &[u8]) -> Vec<u8> {
        let mut body = Vec::with_capacity(declared.len() + self.code.len() + 16);
        groups.saturating_add(u32::from(self.added)).encode(&mut body);
        body.extend_from_slice(declared);
        if self.added {
            1_u32.encode(&mut body);
            ValType::V128.encode(&mut body);
        }
        body.extend_from_slice(&self.code);
        body
    }
}

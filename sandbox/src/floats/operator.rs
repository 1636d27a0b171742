//! What each instruction does with the bits of floats.

use wasmparser::{Operator, ValType};

/// How wide a float is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    F32,
    F64,
}

/// What is known of the value on top of the stack from the instruction that put it there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Top {
    /// A scalar may be any NaN; a vector's bits are the same everywhere.
    #[default]
    Unknown,
    /// A scalar whose bits are the same everywhere.
    Exact,
    /// A vector of floats, each of which may be any NaN.
    Lanes(Width),
}

/// What an instruction does with floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It takes a scalar from the top of the stack and shows its bits.
    Shows(Width),
    /// It gives a scalar whose bits are the same everywhere.
    GivesExact,
    /// It takes vectors of floats of one width, and of their NaNs only that they are some.
    Takes(Width, Gives),
    /// It gives no vector by arithmetic and shows no scalar.
    Other,
}

/// What an instruction on vectors of floats gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    /// A vector of floats by arithmetic.
    Lanes(Width),
    /// A vector of the bits that it takes, signs apart.
    Bits,
    /// A scalar of the bits that it takes.
    Lane,
    /// A vector of integers.
    Integers,
}

impl Width {
    /// That of a scalar of this type, if it is a float.
    pub(super) fn of(ty: ValType) -> Option<Self> {
        match ty {
            ValType::F32 => Some(Self::F32),
            ValType::F64 => Some(Self::F64),
            ValType::I32 | ValType::I64 | ValType::V128 | ValType::Ref(_) => None,
        }
    }
}

impl Role {
    /// Whether a vector of floats of this width may be any NaNs for it.
    pub(super) fn takes(self, width: Width) -> bool {
        matches!(self, Self::Takes(taken, _) if taken == width)
    }

    /// What it leaves on top of the stack, `before` having been there.
    pub(super) fn leaves(self, before: Top) -> Top {
        match self {
            Self::GivesExact => Top::Exact,
            Self::Takes(_, Gives::Lanes(width)) => Top::Lanes(width),
            Self::Takes(_, Gives::Bits) => before,
            Self::Takes(_, Gives::Lane) => match before {
                Top::Lanes(_) => Top::Unknown,
                Top::Unknown | Top::Exact => Top::Exact,
            },
            Self::Takes(_, Gives::Integers) | Self::Shows(_) | Self::Other => Top::Unknown,
        }
    }
}

/// The role of an instruction, `global.set` excepted, whose role is its global's.
///
/// Instructions that are not named here let values through, take floats as numbers alone, or have
/// nothing to do with them.
pub(super) fn role(operator: &Operator<'_>) -> Role {
    use Operator as Op;
    use Width::{F32, F64};
    match operator {
        Op::F32Store { .. }
        | Op::I32ReinterpretF32
        | Op::F32Copysign
        | Op::F32x4Splat
        | Op::F32x4ReplaceLane { .. } => Role::Shows(F32),
        Op::F64Store { .. }
        | Op::I64ReinterpretF64
        | Op::F64Copysign
        | Op::F64x2Splat
        | Op::F64x2ReplaceLane { .. } => Role::Shows(F64),

        Op::F32Const { .. }
        | Op::F64Const { .. }
        | Op::F32Load { .. }
        | Op::F64Load { .. }
        | Op::F32ReinterpretI32
        | Op::F64ReinterpretI64
        | Op::F32ConvertI32S
        | Op::F32ConvertI32U
        | Op::F32ConvertI64S
        | Op::F32ConvertI64U
        | Op::F64ConvertI32S
        | Op::F64ConvertI32U
        | Op::F64ConvertI64S
        | Op::F64ConvertI64U => Role::GivesExact,

        other => lanes(other).map_or(Role::Other, |(takes, gives)| Role::Takes(takes, gives)),
    }
}

/// What an instruction takes and gives that works on vectors of floats.
fn lanes(operator: &Operator<'_>) -> Option<(Width, Gives)> {
    use Operator as Op;
    use Width::{F32, F64};
    Some(match operator {
        Op::F32x4Add
        | Op::F32x4Sub
        | Op::F32x4Mul
        | Op::F32x4Div
        | Op::F32x4Min
        | Op::F32x4Max
        | Op::F32x4Sqrt
        | Op::F32x4Ceil
        | Op::F32x4Floor
        | Op::F32x4Trunc
        | Op::F32x4Nearest
        | Op::F32x4RelaxedMin
        | Op::F32x4RelaxedMax
        | Op::F32x4RelaxedMadd
        | Op::F32x4RelaxedNmadd => (F32, Gives::Lanes(F32)),
        Op::F64x2Add
        | Op::F64x2Sub
        | Op::F64x2Mul
        | Op::F64x2Div
        | Op::F64x2Min
        | Op::F64x2Max
        | Op::F64x2Sqrt
        | Op::F64x2Ceil
        | Op::F64x2Floor
        | Op::F64x2Trunc
        | Op::F64x2Nearest
        | Op::F64x2RelaxedMin
        | Op::F64x2RelaxedMax
        | Op::F64x2RelaxedMadd
        | Op::F64x2RelaxedNmadd => (F64, Gives::Lanes(F64)),
        Op::F32x4DemoteF64x2Zero => (F64, Gives::Lanes(F32)),
        Op::F64x2PromoteLowF32x4 => (F32, Gives::Lanes(F64)),
        Op::F32x4Abs | Op::F32x4Neg | Op::F32x4PMin | Op::F32x4PMax => (F32, Gives::Bits),
        Op::F64x2Abs | Op::F64x2Neg | Op::F64x2PMin | Op::F64x2PMax => (F64, Gives::Bits),
        Op::F32x4ExtractLane { .. } => (F32, Gives::Lane),
        Op::F64x2ExtractLane { .. } => (F64, Gives::Lane),
        Op::F32x4Eq
        | Op::F32x4Ne
        | Op::F32x4Lt
        | Op::F32x4Gt
        | Op::F32x4Le
        | Op::F32x4Ge
        | Op::I32x4TruncSatF32x4S
        | Op::I32x4TruncSatF32x4U
        | Op::I32x4RelaxedTruncF32x4S
        | Op::I32x4RelaxedTruncF32x4U => (F32, Gives::Integers),
        Op::F64x2Eq
        | Op::F64x2Ne
        | Op::F64x2Lt
        | Op::F64x2Gt
        | Op::F64x2Le
        | Op::F64x2Ge
        | Op::I32x4TruncSatF64x2SZero
        | Op::I32x4TruncSatF64x2UZero
        | Op::I32x4RelaxedTruncF64x2SZero
        | Op::I32x4RelaxedTruncF64x2UZero => (F64, Gives::Integers),
        _ => return None,
    })
}

//! Which kinds of arithmetic a function uses, for people: floats are where CPUs and compilers
//! differ, vectors are where the speed comes from.

use wasmparser::Operator;

/// What has been seen of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Arithmetic {
    pub(super) floats: bool,
    pub(super) vectors: bool,
}

impl Arithmetic {
    pub(super) fn on_operator(&mut self, operator: &Operator<'_>) {
        if self.floats && self.vectors {
            return;
        }
        let (proposal, name) = words(operator);
        self.floats |= name.contains("F32") || name.contains("F64");
        self.vectors |= matches!(proposal, "simd" | "relaxed_simd");
    }
}

macro_rules! define_words {
    ($(@$proposal:ident $operator:ident $({ $($payload:tt)* })? => $visit:ident ($($ann:tt)*))*) => {
        /// The part of WebAssembly that an operator belongs to, and its name.
        fn words(operator: &Operator<'_>) -> (&'static str, &'static str) {
            match operator {
                $(Operator::$operator { .. } => {
                    (stringify!($proposal), stringify!($operator))
                })*
                // The list above is the parser's own.
                _ => ("", ""),
            }
        }
    };
}
wasmparser::for_each_operator!(define_words);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operators: &[Operator<'_>], floats: bool, vectors: bool) {
        let mut arithmetic = Arithmetic::default();
        operators.iter().for_each(|operator| arithmetic.on_operator(operator));
        assert_eq!(arithmetic, Arithmetic { floats, vectors }, "{operators:?}");
    }

    #[test]
    fn floats_and_vectors_are_told_apart() {
        check(&[], false, false);
        check(&[Operator::I32Add, Operator::I64Mul, Operator::Nop], false, false);
        check(&[Operator::F64Sqrt], true, false);
        check(&[Operator::I32TruncSatF32S], true, false);
        check(&[Operator::I32x4Add], false, true);
        check(&[Operator::F32x4RelaxedMadd], true, true);
        check(&[Operator::I8x16Popcnt, Operator::F32Neg], true, true);
    }
}

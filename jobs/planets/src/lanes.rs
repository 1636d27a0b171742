//! Two floats that one instruction works on.
//!
//! Compilers find such pairs by themselves at times, but not in sums, whose order they must keep:
//! on wasm32 with simd128 a [`Pair`] is the instruction's own type, elsewhere two floats. Both
//! round alike, so the bits are the same.

use std::ops::{Add, Mul, Sub};

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
use self::plain as lane;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use self::simd as lane;

/// Two floats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair(lane::Lanes);

impl Pair {
    /// The two, in order.
    pub(crate) fn new(first: f64, second: f64) -> Self {
        Self(lane::new(first, second))
    }

    /// The same twice.
    pub(crate) fn splat(both: f64) -> Self {
        Self::new(both, both)
    }

    /// Their sum.
    pub(crate) fn sum(self) -> f64 {
        lane::sum(self.0)
    }
}

impl Add for Pair {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(lane::add(self.0, other.0))
    }
}

impl Sub for Pair {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(lane::sub(self.0, other.0))
    }
}

impl Mul for Pair {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self(lane::mul(self.0, other.0))
    }
}

/// Numbers in pairs; an odd one out is followed by zero.
pub(crate) fn pairs(numbers: &[f64]) -> Vec<Pair> {
    numbers
        .chunks(2)
        .map(|chunk| Pair::new(chunk[0], chunk.get(1).copied().unwrap_or(0.0)))
        .collect()
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd {
    use std::arch::wasm32::{f64x2, f64x2_extract_lane, v128};
    pub(super) use std::arch::wasm32::{f64x2_add as add, f64x2_mul as mul, f64x2_sub as sub};

    pub(super) type Lanes = v128;

    pub(super) fn new(first: f64, second: f64) -> v128 {
        f64x2(first, second)
    }

    pub(super) fn sum(lanes: v128) -> f64 {
        f64x2_extract_lane::<0>(lanes) + f64x2_extract_lane::<1>(lanes)
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod plain {
    pub(super) type Lanes = [f64; 2];

    pub(super) fn new(first: f64, second: f64) -> Lanes {
        [first, second]
    }

    pub(super) fn sum([first, second]: Lanes) -> f64 {
        first + second
    }

    pub(super) fn add(a: Lanes, b: Lanes) -> Lanes {
        [a[0] + b[0], a[1] + b[1]]
    }

    pub(super) fn sub(a: Lanes, b: Lanes) -> Lanes {
        [a[0] - b[0], a[1] - b[1]]
    }

    pub(super) fn mul(a: Lanes, b: Lanes) -> Lanes {
        [a[0] * b[0], a[1] * b[1]]
    }
}

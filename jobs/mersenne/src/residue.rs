//! Arithmetic modulo 2^p − 1 on numbers of many words.
//!
//! A square has twice the bits, and 2^p is 1 here: what stands above bit p is added to what stands
//! below, so that no division is needed. Schoolbook squaring takes the products of different words
//! once and doubles them.

/// A number from 0 to 2^p − 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residue {
    exponent: u32,
    /// Least significant first; as many as p bits need.
    words: Vec<u64>,
    /// Room for a square, kept from one to the next.
    product: Vec<u64>,
}

impl Residue {
    /// The residue of `value` modulo 2^`exponent` − 1.
    ///
    /// # Panics
    /// When `exponent` is below 2.
    pub fn new(exponent: u32, value: u64) -> Self {
        assert!(exponent >= 2, "2^{exponent} - 1 leaves no residues");
        let length = exponent.div_ceil(u64::BITS) as usize;
        let mut words = vec![0; length];
        words[0] = small_residue(exponent, value);
        Self { exponent, words, product: vec![0; 2 * length] }
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Its lowest 64 bits.
    pub fn low_64_bits(&self) -> u64 {
        self.words[0]
    }

    /// Squares it.
    pub fn square(&mut self) {
        square(&self.words, &mut self.product);
        self.reduce();
    }

    /// Subtracts a small number.
    pub fn subtract(&mut self, small: u64) {
        if subtract(&mut self.words, small_residue(self.exponent, small)) {
            // What was borrowed from beyond the highest word leaves it again.
            add(&mut self.words, modulus(self.exponent));
        }
    }

    /// The product's residue, into the words.
    fn reduce(&mut self) {
        let length = self.words.len();
        self.words.copy_from_slice(&self.product[..length]);
        self.words[length - 1] &= top_mask(self.exponent);
        // Each of the two is below 2^p, so their sum has at most one bit more: 2^p, which is 1.
        let carry = add(&mut self.words, shifted_down(&self.product, self.exponent));
        let above = self.above(carry);
        self.words[length - 1] &= top_mask(self.exponent);
        add(&mut self.words, [above]);
        if modulus(self.exponent).eq(self.words.iter().copied()) {
            self.words.fill(0);
        }
    }

    /// Bit p of a sum of two numbers below 2^p; `carry` is what left its highest word.
    fn above(&self, carry: u64) -> u64 {
        match self.exponent % u64::BITS {
            0 => carry,
            bits => self.words[self.words.len() - 1] >> bits,
        }
    }
}

/// The bits of the highest word that are below bit `exponent` of the whole.
fn top_mask(exponent: u32) -> u64 {
    match exponent % u64::BITS {
        0 => u64::MAX,
        bits => (1 << bits) - 1,
    }
}

/// `value` modulo 2^`exponent` − 1.
fn small_residue(exponent: u32, value: u64) -> u64 {
    match exponent {
        0..=64 => value % top_mask(exponent),
        _ => value,
    }
}

/// The words of 2^`exponent` − 1.
fn modulus(exponent: u32) -> impl Iterator<Item = u64> {
    let whole = (exponent - 1) / u64::BITS;
    std::iter::repeat_n(u64::MAX, whole as usize).chain([top_mask(exponent)])
}

/// The words of a number from bit `bits` on.
fn shifted_down(words: &[u64], bits: u32) -> impl Iterator<Item = u64> {
    let (whole, rest) = ((bits / u64::BITS) as usize, bits % u64::BITS);
    let next = words[whole..].iter().skip(1).chain([&0]);
    words[whole..].iter().zip(next).map(move |(word, next)| match rest {
        0 => *word,
        _ => word >> rest | next << (u64::BITS - rest),
    })
}

/// The square of `words`, into `product`, which is twice as long.
fn square(words: &[u64], product: &mut [u64]) {
    product.fill(0);
    for (index, &word) in words.iter().enumerate() {
        let mut carry = 0;
        let (others, places) = (&words[index + 1..], &mut product[2 * index + 1..]);
        for (&other, place) in others.iter().zip(&mut *places) {
            (*place, carry) = multiply_add(word, other, *place, carry);
        }
        places[others.len()] = carry;
    }
    let mut shifted_out = 0;
    let mut carry = 0;
    for (pair, &word) in product.chunks_exact_mut(2).zip(words) {
        let low = pair[0] << 1 | shifted_out;
        let high = pair[1] << 1 | pair[0] >> 63;
        shifted_out = pair[1] >> 63;
        let (square_low, square_high) = multiply_add(word, word, low, carry);
        let (sum, overflow) = high.overflowing_add(square_high);
        (pair[0], pair[1], carry) = (square_low, sum, u64::from(overflow));
    }
}

/// The low and the high word of `a * b + c + d`, which two words always hold.
fn multiply_add(a: u64, b: u64, c: u64, d: u64) -> (u64, u64) {
    // WebAssembly multiplies to 64 bits, and a product of 128 would be a function call there.
    if cfg!(target_arch = "wasm32") {
        let (low, high) = multiply_by_halves(a, b);
        let (low, carry) = low.overflowing_add(c);
        let (low, carry_again) = low.overflowing_add(d);
        return (low, high + u64::from(carry) + u64::from(carry_again));
    }
    let sum = u128::from(a) * u128::from(b) + u128::from(c) + u128::from(d);
    (sum as u64, (sum >> 64) as u64)
}

/// The low and the high word of `a * b`, from the products of their halves.
fn multiply_by_halves(a: u64, b: u64) -> (u64, u64) {
    const LOW: u64 = u32::MAX as u64;
    let (a_low, a_high) = (a & LOW, a >> 32);
    let (b_low, b_high) = (b & LOW, b >> 32);
    let low = a_low * b_low;
    let (left, right) = (a_high * b_low, a_low * b_high);
    let middle = (low >> 32) + (left & LOW) + (right & LOW);
    let high = a_high * b_high + (left >> 32) + (right >> 32) + (middle >> 32);
    (middle << 32 | low & LOW, high)
}

/// Adds a number, of which no more words than there is room for count; gives what leaves the
/// highest word.
fn add(words: &mut [u64], other: impl IntoIterator<Item = u64>) -> u64 {
    let others = other.into_iter().chain(std::iter::repeat(0));
    words.iter_mut().zip(others).fold(0, |carry, (word, other)| {
        let sum = u128::from(*word) + u128::from(other) + u128::from(carry);
        *word = sum as u64;
        (sum >> 64) as u64
    })
}

/// Subtracts one word; gives whether more was borrowed than there is.
fn subtract(words: &mut [u64], small: u64) -> bool {
    let mut borrow = small;
    for word in words {
        let (difference, under) = word.overflowing_sub(borrow);
        *word = difference;
        borrow = u64::from(under);
    }
    borrow > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Squares and subtractions of residues small enough for 128 bits.
    #[test]
    fn small_residues_are_those_of_plain_arithmetic() {
        for exponent in 2..=63_u32 {
            let modulus = (1_u128 << exponent) - 1;
            let mut plain = 4 % modulus;
            let mut residue = Residue::new(exponent, 4);
            for _ in 0..200 {
                residue.square();
                residue.subtract(2);
                plain = (plain * plain + modulus * 2 - 2) % modulus;
                assert_eq!(u128::from(residue.low_64_bits()), plain, "modulo 2^{exponent} - 1");
            }
        }
    }

    #[test]
    fn powers_of_two_turn_in_a_circle() {
        for exponent in [64_u32, 65, 127, 128, 129, 521] {
            let mut residue = Residue::new(exponent, 2);
            let mut power = 1_u32;
            for _ in 0..40 {
                residue.square();
                power = power * 2 % exponent;
                let mut expected = vec![0; residue.words.len()];
                expected[(power / 64) as usize] = 1 << (power % 64);
                assert_eq!(residue.words, expected, "2^{power} modulo 2^{exponent} - 1");
            }
        }
    }

    #[test]
    fn products_by_halves_are_those_of_128_bits() {
        let words = [0, 1, 2, u64::from(u32::MAX), 1 << 32, 0x9e37_79b9_7f4a_7c15, u64::MAX];
        for a in words {
            for b in words {
                let product = u128::from(a) * u128::from(b);
                let expected = (product as u64, (product >> 64) as u64);
                assert_eq!(multiply_by_halves(a, b), expected, "{a} * {b}");
            }
        }
    }

    #[test]
    fn a_square_of_all_bits_is_exact() {
        for length in 1..6 {
            let words = vec![u64::MAX; length];
            let mut product = vec![0; 2 * length];
            square(&words, &mut product);
            // (2^n − 1)² = 2^2n − 2^(n+1) + 1.
            let mut expected = vec![0; length];
            expected[0] = 1;
            expected.push(u64::MAX - 1);
            expected.resize(2 * length, u64::MAX);
            assert_eq!(product, expected);
        }
    }

    #[test]
    fn zero_has_one_face_and_subtraction_goes_round() {
        for exponent in [2_u32, 61, 64, 100, 128] {
            let mut residue = Residue::new(exponent, 1);
            residue.subtract(1);
            assert!(residue.is_zero());
            residue.subtract(1);
            // −1 is 2^p − 2.
            let mut expected: Vec<_> = modulus(exponent).collect();
            expected[0] -= 1;
            assert_eq!(residue.words, expected, "modulo 2^{exponent} - 1");
            // And 2^p − 1 itself is zero.
            if exponent < 64 {
                assert!(Residue::new(exponent, (1 << exponent) - 1).is_zero());
            }
        }
    }
}

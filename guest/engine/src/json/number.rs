//! Numbers that compare exactly: an integer of any size with a float goes by their mathematical values.

use std::cmp::Ordering;

use num_bigint::BigInt;

/// A number of a call or an operand.
#[derive(Clone, Copy, Debug)]
pub enum Number<'a> {
    /// An integer that fits.
    Int(i64),
    /// The decimal text of one that does not.
    Big(&'a str),
    /// Everything written with a point or an exponent; infinities and NaN from YAML operands.
    Float(f64),
}

impl<'a> Number<'a> {
    #[inline(never)]
    pub(super) fn integer(text: &'a str) -> Self {
        text.parse().map_or(Self::Big(text), Self::Int)
    }

    #[inline(never)]
    pub(super) fn float(text: &str) -> Self {
        Self::Float(text.parse().unwrap_or(f64::NAN))
    }

    /// Mathematical order; none when a NaN is involved.
    #[must_use]
    pub fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(one), Self::Int(two)) => Some(one.cmp(&two)),
            (Self::Float(one), Self::Float(two)) => one.partial_cmp(&two),
            (Self::Float(one), two) => compare_with_float(two, one).map(Ordering::reverse),
            (one, Self::Float(two)) => compare_with_float(one, two),
            (one, two) => Some(one.big().cmp(&two.big())),
        }
    }

    fn big(self) -> BigInt {
        match self {
            Self::Int(int) => BigInt::from(int),
            Self::Big(text) => text.parse().unwrap_or_default(),
            Self::Float(_) => BigInt::default(),
        }
    }
}

/// `integer` is not a float.
fn compare_with_float(integer: Number<'_>, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if float.is_infinite() {
        return Some(if float > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    // Integers below 2^53 are exact as floats.
    if let Number::Int(int) = integer
        && int.unsigned_abs() < 1 << 53
    {
        return (int as f64).partial_cmp(&float);
    }
    let whole = float.trunc();
    // Beyond 2^53 a float has no fraction; below, only a big integer gets here, and the whole part decides.
    Some(integer.big().cmp(&exact(whole)))
}

/// A whole float as an integer: mantissa times a power of two.
fn exact(whole: f64) -> BigInt {
    let bits = whole.to_bits();
    let exponent = i64::try_from((bits >> 52) & 0x7ff).unwrap_or(0) - 1075;
    let mantissa = (bits & ((1 << 52) - 1)) | (1 << 52);
    let magnitude = if whole == 0.0 {
        BigInt::default()
    } else if exponent >= 0 {
        BigInt::from(mantissa) << exponent
    } else {
        BigInt::from(mantissa >> exponent.unsigned_abs())
    };
    if whole < 0.0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Number::{Big, Float, Int};

    #[test]
    fn integers_and_floats_compare_by_value() {
        let two53 = 9_007_199_254_740_992.0;
        for (one, two, expected) in [
            (Int(9_007_199_254_740_993), Float(two53), Some(Ordering::Greater)),
            (Int(9_007_199_254_740_992), Float(two53), Some(Ordering::Equal)),
            (Int(1), Float(1.5), Some(Ordering::Less)),
            (Int(-2), Float(-1.5), Some(Ordering::Less)),
            (Int(-1), Float(-1.5), Some(Ordering::Greater)),
            (Int(i64::MAX), Float(9_223_372_036_854_775_808.0), Some(Ordering::Less)),
            (Int(i64::MIN), Float(-9_223_372_036_854_775_808.0), Some(Ordering::Equal)),
            (Big("99999999999999999999999999"), Float(1e300), Some(Ordering::Less)),
            (Big("100000000000000000000"), Float(1e20), Some(Ordering::Equal)),
            (Big("-100000000000000000001"), Float(-1e20), Some(Ordering::Less)),
            (Int(0), Float(f64::NAN), None),
            (Int(0), Float(f64::INFINITY), Some(Ordering::Less)),
            (Big("18446744073709551616"), Int(5), Some(Ordering::Greater)),
            (Int(0), Float(-0.0), Some(Ordering::Equal)),
        ] {
            assert_eq!(one.compare(two), expected, "{one:?} {two:?}");
            assert_eq!(two.compare(one), expected.map(Ordering::reverse), "{two:?} {one:?}");
        }
    }
}

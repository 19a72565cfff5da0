//! The element types an array can have.

use std::fmt;
use std::str::FromStr;

use half::{bf16, f16};

use crate::{Error, Result};

/// The type of an array's elements. Floats carry gradients; integers are data only.
///
/// ```
/// use ferrotape_backend::DType;
///
/// assert_eq!("bf16".parse::<DType>()?, DType::BF16);
/// assert_eq!(DType::F64.size(), 8);
/// assert_eq!((DType::BF16.name(), DType::BF16.to_string()), ("bf16", "bf16".into()));
/// assert!(DType::F16.is_float() && !DType::I64.is_float());
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 double precision.
    F64,
    /// The upper half of a single: 8 bits of exponent, 8 of precision.
    BF16,
    /// IEEE 754 half precision: 5 bits of exponent, 11 of precision.
    F16,
    /// 64-bit signed integer: labels and indices.
    I64,
    /// 8-bit unsigned integer: pixels and masks.
    U8,
}

impl DType {
    /// Every data type.
    pub const ALL: [DType; 6] =
        [DType::F32, DType::F64, DType::BF16, DType::F16, DType::I64, DType::U8];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F64 | DType::I64 => 8,
            DType::BF16 | DType::F16 => 2,
            DType::U8 => 1,
        }
    }

    /// Whether values of this type can have a gradient.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64 | DType::BF16 | DType::F16)
    }

    /// The type in which sums and statistics of this float type are kept: f64 for f64, else f32.
    ///
    /// ```
    /// use ferrotape_backend::DType;
    ///
    /// assert_eq!(DType::BF16.accumulator(), DType::F32);
    /// assert_eq!(DType::F64.accumulator(), DType::F64);
    /// ```
    pub const fn accumulator(self) -> DType {
        match self {
            DType::F64 => DType::F64,
            _ => DType::F32,
        }
    }

    /// The name as written on the command line and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::BF16 => "bf16",
            DType::F16 => "f16",
            DType::I64 => "i64",
            DType::U8 => "u8",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        DType::ALL.into_iter().find(|d| d.name() == name).ok_or_else(|| {
            Error::dtype(format!(
                "there is no data type '{name}', use one of f32, f64, bf16, f16, i64, u8"
            ))
        })
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that is the element of some [`DType`].
///
/// ```
/// use ferrotape_backend::{DType, Element};
///
/// assert_eq!(<i64 as Element>::DTYPE, DType::I64);
/// assert_eq!((u8::from_f64(2.9), u8::from_f64(-1.0), u8::from_f64(300.0)), (2, 0, 255));
/// assert_eq!(3i64.to_f64(), 3.0);
/// ```
pub trait Element: sealed::Sealed + bytemuck::Pod + Send + Sync + fmt::Debug + PartialEq {
    /// The data type whose elements these are.
    const DTYPE: DType;
    /// The value as f64; exact for every type but large i64.
    fn to_f64(self) -> f64;
    /// The nearest value of this type; integers truncate towards zero and saturate.
    fn from_f64(value: f64) -> Self;
}

macro_rules! element {
    ($type:ty, $dtype:expr, $to:expr, $from:expr) => {
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const DTYPE: DType = $dtype;
            #[inline(always)]
            fn to_f64(self) -> f64 {
                $to(self)
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                $from(value)
            }
        }
    };
}

element!(f32, DType::F32, f64::from, |v| v as f32);
element!(f64, DType::F64, |v| v, |v| v);
element!(bf16, DType::BF16, bf16::to_f64, |v| bf16::from_f32(to_odd(v)));
element!(f16, DType::F16, f16::to_f64, |v| f16::from_f32(to_odd(v)));
element!(i64, DType::I64, |v| v as f64, |v| v as i64);
element!(u8, DType::U8, f64::from, |v| v as u8);

/// The neighbouring single whose last bit is set where `value` lies between two, so that rounding
/// it further rounds `value` once. (`from_f64` of `half` 2.7 looks at the upper half of the double
/// only, and takes what lies just beside a tie for a tie.)
#[inline(always)]
fn to_odd(value: f64) -> f32 {
    let nearest = value as f32;
    let exact = f64::from(nearest);
    let bits = nearest.to_bits();
    if exact == value || bits & 1 == 1 || value.is_nan() {
        return nearest;
    }
    f32::from_bits(if exact.abs() > value.abs() { bits - 1 } else { bits + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_round_to_sixteen_bits_once() {
        // 321 lies between the bf16 numbers 320 and 322, 2049 between the f16 numbers 2048 and 2050.
        let little = 2.0_f64.powi(-40);
        for (offset, bfloat, half) in
            [(-little, 320.0, 2048.0), (0.0, 320.0, 2048.0), (little, 322.0, 2050.0)]
        {
            for sign in [1.0, -1.0] {
                let value = <bf16 as Element>::from_f64(sign * (321.0 + offset));
                assert_eq!(value.to_f64(), sign * bfloat);
                let value = <f16 as Element>::from_f64(sign * (2049.0 + offset));
                assert_eq!(value.to_f64(), sign * half);
            }
        }
    }

    #[test]
    fn singles_round_alike_by_way_of_doubles() {
        for bits in (0..=u32::MAX).step_by(65_521) {
            let value = f32::from_bits(bits);
            let double = f64::from(value);
            if value.is_nan() {
                assert!(<bf16 as Element>::from_f64(double).is_nan());
                assert!(<f16 as Element>::from_f64(double).is_nan());
                continue;
            }
            assert_eq!(<bf16 as Element>::from_f64(double), bf16::from_f32(value));
            assert_eq!(<f16 as Element>::from_f64(double), f16::from_f32(value));
        }
        assert_eq!(<bf16 as Element>::from_f64(f64::MAX), bf16::INFINITY);
        assert_eq!(<f16 as Element>::from_f64(65519.999), f16::MAX);
    }
}

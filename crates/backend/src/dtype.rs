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
element!(bf16, DType::BF16, bf16::to_f64, bf16::from_f64);
element!(f16, DType::F16, f16::to_f64, f16::from_f64);
element!(i64, DType::I64, |v| v as f64, |v| v as i64);
element!(u8, DType::U8, f64::from, |v| v as u8);

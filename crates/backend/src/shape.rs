//! Sizes of arrays.

use std::fmt;
use std::ops::Deref;

use crate::{Error, Result};

/// The largest number of dimensions an array can have.
pub const MAX_RANK: usize = 8;

/// The sizes of an array's dimensions, outermost first.
///
/// Every `Shape` is addressable: its number of elements times the size of the largest element fits
/// in memory's address range, so sizes computed from it cannot overflow.
///
/// ```
/// use ferrotape_backend::Shape;
///
/// let shape = Shape::new(&[2, 3, 5])?;
/// assert_eq!(shape.numel(), 30);
/// assert_eq!(shape.to_string(), "[2, 3, 5]");
/// assert!(Shape::new(&[usize::MAX, 2]).is_err());
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: u8,
}

impl Shape {
    /// The shape of a scalar: no dimensions, one element.
    pub const SCALAR: Shape = Shape { dims: [0; MAX_RANK], rank: 0 };

    /// A shape of these sizes.
    ///
    /// # Errors
    /// More than [`MAX_RANK`] dimensions, or more elements than can be addressed.
    pub fn new(dims: &[usize]) -> Result<Self> {
        if dims.len() > MAX_RANK {
            return Err(Error::shape(format!(
                "{dims:?} has {} dimensions, at most {MAX_RANK} are supported",
                dims.len()
            )));
        }
        // Zero sizes do not hide an overflow of the others: strides are products of those.
        let product = dims.iter().try_fold(8usize, |p, &d| p.checked_mul(d.max(1)));
        if product.is_none_or(|bytes| bytes > isize::MAX as usize) {
            return Err(Error::shape(format!("{dims:?} has more elements than can be addressed")));
        }
        let mut shape = Shape::SCALAR;
        shape.dims[..dims.len()].copy_from_slice(dims);
        shape.rank = dims.len() as u8;
        Ok(shape)
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.iter().product()
    }

    /// The sizes as a slice.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank as usize]
    }

    /// The index of a dimension, counted from the end when negative.
    ///
    /// # Errors
    /// No such dimension.
    pub fn dim(&self, dim: isize) -> Result<usize> {
        let rank = self.rank() as isize;
        let index = if dim < 0 { dim + rank } else { dim };
        if (0..rank).contains(&index) {
            Ok(index as usize)
        } else {
            Err(Error::argument(format!("there is no dimension {dim} in shape {self}")))
        }
    }

    /// The same shape with one size replaced.
    ///
    /// # Errors
    /// No such dimension; the result has more elements than can be addressed.
    pub fn with(&self, dim: usize, size: usize) -> Result<Self> {
        if dim >= self.rank() {
            return Err(Error::argument(format!("there is no dimension {dim} in shape {self}")));
        }
        let mut dims = *self;
        dims.dims[dim] = size;
        Shape::new(dims.dims())
    }

    /// The four sizes of a batch of images `[N, C, H, W]`.
    ///
    /// # Errors
    /// Another number of dimensions.
    pub fn nchw(&self) -> Result<[usize; 4]> {
        <[usize; 4]>::try_from(self.dims())
            .map_err(|_| Error::shape(format!("expected [N, C, H, W], got {self}")))
    }

    /// The shape both broadcast to, by NumPy's rule: sizes are aligned at the end and 1 stretches.
    ///
    /// # Errors
    /// Two sizes that differ and are not 1.
    pub fn broadcast(&self, other: &Shape) -> Result<Shape> {
        let rank = self.rank().max(other.rank());
        let mut dims = [1; MAX_RANK];
        for (shape, end) in [(self, self.rank()), (other, other.rank())] {
            for (i, &size) in shape.iter().enumerate() {
                let slot = &mut dims[rank - end + i];
                if *slot == 1 {
                    *slot = size;
                } else if size != 1 && size != *slot {
                    return Err(Error::shape(format!(
                        "{self} and {other} do not broadcast: sizes must be equal or 1, aligned at \
                         the end"
                    )));
                }
            }
        }
        Shape::new(&dims[..rank])
    }

    /// Whether an array of this shape broadcasts to `target` without changing it.
    pub fn broadcasts_to(&self, target: &Shape) -> bool {
        self.broadcast(target).is_ok_and(|shape| shape == *target)
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        self.dims()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq<[usize]> for Shape {
    fn eq(&self, other: &[usize]) -> bool {
        self.dims() == other
    }
}

impl<const N: usize> PartialEq<[usize; N]> for Shape {
    fn eq(&self, other: &[usize; N]) -> bool {
        self.dims() == other
    }
}

/// What can be given where a shape is wanted: arrays and slices of sizes, or a [`Shape`].
pub trait IntoShape {
    /// The shape.
    ///
    /// # Errors
    /// As [`Shape::new`].
    fn into_shape(self) -> Result<Shape>;
}

impl IntoShape for Shape {
    fn into_shape(self) -> Result<Shape> {
        Ok(self)
    }
}

impl IntoShape for &Shape {
    fn into_shape(self) -> Result<Shape> {
        Ok(*self)
    }
}

impl IntoShape for &[usize] {
    fn into_shape(self) -> Result<Shape> {
        Shape::new(self)
    }
}

impl IntoShape for &Vec<usize> {
    fn into_shape(self) -> Result<Shape> {
        Shape::new(self)
    }
}

impl<const N: usize> IntoShape for [usize; N] {
    fn into_shape(self) -> Result<Shape> {
        Shape::new(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Layout};

    #[test]
    fn a_dimension_that_is_not_there_cannot_be_replaced() {
        let shape = Shape::new(&[2, 3]).unwrap();
        for dim in [2, MAX_RANK, usize::MAX] {
            assert_eq!(shape.with(dim, 1).unwrap_err().kind(), ErrorKind::Argument);
            assert!(Layout::contiguous(shape).step(dim, 0, 2).is_err());
        }
        assert!(Shape::SCALAR.with(0, 1).is_err());
    }

    #[test]
    fn a_step_of_any_size_is_followed_without_overflow() {
        let layout = Layout::contiguous(Shape::new(&[4, 2]).unwrap());
        for step in [4, isize::MAX as usize / 2, isize::MAX as usize, usize::MAX] {
            let stepped = layout.step(0, 1, step).unwrap();
            assert_eq!(stepped.positions().collect::<Vec<_>>(), [2, 3], "step {step}");
            assert_eq!(stepped.span(), Some((2, 3)));
        }
    }
}

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
/// assert_eq!((shape.rank(), shape.dims()), (3, &[2, 3, 5][..]));
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
    /// ```
    /// use ferrotape_backend::Shape;
    ///
    /// assert_eq!(Shape::new(&[])?, Shape::SCALAR);
    /// let error = Shape::new(&[1; 9]).unwrap_err().to_string();
    /// assert!(error.ends_with("has 9 dimensions, at most 8 are supported"), "{error}");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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
    ///
    /// ```
    /// use ferrotape_backend::Shape;
    ///
    /// assert_eq!((Shape::SCALAR.numel(), Shape::new(&[2, 0, 5])?.numel()), (1, 0));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    pub fn numel(&self) -> usize {
        self.iter().product()
    }

    /// The sizes as a slice.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank as usize]
    }

    /// The index of a dimension, counted from the end when negative.
    ///
    /// ```
    /// use ferrotape_backend::Shape;
    ///
    /// let shape = Shape::new(&[2, 3, 5])?;
    /// assert_eq!((shape.dim(0)?, shape.dim(-1)?), (0, 2));
    /// assert_eq!(shape.dim(3).unwrap_err().to_string(), "there is no dimension 3 in shape [2, 3, 5]");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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
    /// ```
    /// use ferrotape_backend::Shape;
    ///
    /// assert_eq!(Shape::new(&[2, 3])?.with(0, 8)?, [8, 3]);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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
    /// ```
    /// use ferrotape_backend::Shape;
    ///
    /// let [n, c, h, w] = Shape::new(&[8, 3, 32, 32])?.nchw()?;
    /// assert_eq!(n * c * h * w, 24_576);
    /// let error = Shape::new(&[8, 3])?.nchw().unwrap_err();
    /// assert_eq!(error.to_string(), "expected [N, C, H, W], got [8, 3]");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another number of dimensions.
    pub fn nchw(&self) -> Result<[usize; 4]> {
        <[usize; 4]>::try_from(self.dims())
            .map_err(|_| Error::shape(format!("expected [N, C, H, W], got {self}")))
    }

    /// The shape both broadcast to, by NumPy's rule: sizes are aligned at the end and 1 stretches.
    ///
    /// ```
    /// use ferrotape_backend::Shape;
    ///
    /// let (images, channels) = (Shape::new(&[8, 3, 4, 4])?, Shape::new(&[3, 1, 1])?);
    /// assert_eq!(images.broadcast(&channels)?, images);
    /// assert!(images.broadcast(&Shape::new(&[3])?).is_err());
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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
    ///
    /// ```
    /// use ferrotape_backend::Shape;
    ///
    /// let (row, rows) = (Shape::new(&[3])?, Shape::new(&[2, 3])?);
    /// assert!(row.broadcasts_to(&rows) && !rows.broadcasts_to(&row));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
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
///
/// ```
/// use ferrotape_backend::{IntoShape, Result, Shape};
///
/// fn elements(shape: impl IntoShape) -> Result<usize> {
///     Ok(shape.into_shape()?.numel())
/// }
///
/// assert_eq!((elements([2, 3])?, elements(&vec![2, 3])?, elements(Shape::SCALAR)?), (6, 6, 1));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
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

//! Matrix products, by matrixmultiply.

use std::marker::PhantomData;

use ferrotape_backend::{Error, Layout, Result};

use super::real::Real;
use super::split::Parts;

/// A matrix inside a slice.
#[derive(Debug)]
pub(crate) struct Matrix<'a, R> {
    data: &'a [R],
    /// The position of the element at `[0, 0]`.
    offset: usize,
    /// Rows and columns.
    sizes: [usize; 2],
    /// From one row to the next, and from one column to the next.
    strides: [isize; 2],
}

impl<R> Clone for Matrix<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Matrix<'_, R> {}

impl<'a, R> Matrix<'a, R> {
    /// The matrix, if it lies within the slice.
    pub(crate) fn new(
        data: &'a [R],
        offset: usize,
        sizes: [usize; 2],
        strides: [isize; 2],
    ) -> Result<Self> {
        within(data.len(), offset, sizes, strides)?;
        Ok(Matrix { data, offset, sizes, strides })
    }

    pub(crate) fn sizes(&self) -> [usize; 2] {
        self.sizes
    }

    pub(crate) fn strides(&self) -> [isize; 2] {
        self.strides
    }

    /// Where the element at `[0, 0]` is; nowhere in particular if there is none.
    pub(crate) fn start(&self) -> *const R {
        self.data.as_ptr().wrapping_add(self.offset)
    }

    /// Row-major with `pitch` elements from one row to the next.
    pub(crate) fn rows(data: &'a [R], sizes: [usize; 2], pitch: usize) -> Result<Self> {
        Matrix::new(data, 0, sizes, [pitch as isize, 1])
    }

    /// Rows as columns.
    pub(crate) fn transposed(self) -> Self {
        let ([rows, columns], [down, right]) = (self.sizes, self.strides);
        Matrix { sizes: [columns, rows], strides: [right, down], ..self }
    }

    /// `count` rows from `start`.
    pub(crate) fn row_range(self, start: usize, count: usize) -> Result<Self> {
        let offset = self.offset.wrapping_add_signed(start as isize * self.strides[0]);
        Matrix::new(self.data, offset, [count, self.sizes[1]], self.strides)
    }

    /// `count` columns from `start`.
    pub(crate) fn column_range(self, start: usize, count: usize) -> Result<Self> {
        Ok(self.transposed().row_range(start, count)?.transposed())
    }
}

/// A matrix that is written.
pub(crate) struct MatrixMut<'a, R> {
    start: *mut R,
    sizes: [usize; 2],
    strides: [isize; 2],
    owner: PhantomData<&'a mut [R]>,
}

impl<'a, R> MatrixMut<'a, R> {
    /// Row-major with `pitch` elements from one row to the next.
    pub(crate) fn rows(data: &'a mut [R], sizes: [usize; 2], pitch: usize) -> Result<Self> {
        let strides = [pitch as isize, 1];
        within(data.len(), 0, sizes, strides)?;
        Ok(MatrixMut { start: data.as_mut_ptr(), sizes, strides, owner: PhantomData })
    }
}

impl MatrixMut<'_, f32> {
    pub(crate) fn sizes(&self) -> [usize; 2] {
        self.sizes
    }

    /// Writes an element, or adds to it. One that is not there is left alone.
    #[inline(always)]
    pub(crate) fn put(&mut self, [row, column]: [usize; 2], value: f32, adds: bool) {
        if row >= self.sizes[0] || column >= self.sizes[1] {
            return;
        }
        let at = row as isize * self.strides[0] + column as isize * self.strides[1];
        // SAFETY: the element is one of the matrix, which is exclusive.
        unsafe {
            let to = self.start.offset(at);
            *to = if adds { *to + value } else { value };
        }
    }
}

/// A batch of matrices that are written, cut into blocks.
pub(crate) struct Blocks<'a, R> {
    start: *mut R,
    /// Batch, rows, columns.
    sizes: [usize; 3],
    strides: [isize; 3],
    /// Rows and columns of a block.
    block: [usize; 2],
    owner: PhantomData<&'a mut [R]>,
}

// SAFETY: sharing `Blocks` gives every thread only blocks that no other has.
unsafe impl<R: Send> Sync for Blocks<'_, R> {}

/// The place of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Number in the batch.
    pub(crate) image: usize,
    /// First row, and how many.
    pub(crate) rows: [usize; 2],
    /// First column, and how many.
    pub(crate) columns: [usize; 2],
}

impl<'a, R> Blocks<'a, R> {
    /// Cuts the array `[batch, rows, columns]` that `layout` describes within `data`.
    pub(crate) fn new(data: &'a mut [R], layout: &Layout, block: [usize; 2]) -> Result<Self> {
        let fits = layout.span().is_none_or(|(_, high)| high < data.len());
        let (&[batch, rows, columns], &[s0, s1, s2]) = (layout.shape().dims(), layout.strides())
        else {
            return Err(Error::shape(format!("{} is no batch of matrices", layout.shape())));
        };
        if !fits || layout.is_overlapping() {
            return Err(Error::argument("the result of a matrix product overlaps with itself"));
        }
        let offset = layout.span().map_or(0, |_| layout.offset());
        // SAFETY: the element at index zero exists, and `fits` says that it lies in the slice.
        let start = unsafe { data.as_mut_ptr().add(offset) };
        let (sizes, strides) = ([batch, rows, columns], [s0, s1, s2]);
        Ok(Blocks {
            start,
            sizes,
            strides,
            block: block.map(|size| size.max(1)),
            owner: PhantomData,
        })
    }

    fn grid(&self) -> [usize; 2] {
        [self.sizes[1].div_ceil(self.block[0]), self.sizes[2].div_ceil(self.block[1])]
    }

    /// Where block `index` lies.
    pub(crate) fn place(&self, index: usize) -> Place {
        let [down, across] = self.grid().map(|count| count.max(1));
        let (image, index) = (index / (down * across), index % (down * across));
        let cut = |number: usize, axis: usize| {
            let start = number * self.block[axis];
            [start, self.block[axis].min(self.sizes[axis + 1] - start)]
        };
        Place { image, rows: cut(index / across, 0), columns: cut(index % across, 1) }
    }
}

// SAFETY: blocks are disjoint ranges of rows and columns of different matrices, and `new` made sure
// that different indices are different elements.
unsafe impl<'a, R: Send> Parts for Blocks<'a, R> {
    type Part = MatrixMut<'a, R>;

    fn count(&self) -> usize {
        let [down, across] = self.grid();
        self.sizes[0] * down * across
    }

    unsafe fn part(&self, index: usize) -> MatrixMut<'a, R> {
        let place = self.place(index);
        let step = place.image as isize * self.strides[0]
            + place.rows[0] as isize * self.strides[1]
            + place.columns[0] as isize * self.strides[2];
        // SAFETY: an index below the count has a first element, which lies in the slice.
        let start = unsafe { self.start.offset(step) };
        MatrixMut {
            start,
            sizes: [place.rows[1], place.columns[1]],
            strides: [self.strides[1], self.strides[2]],
            owner: PhantomData,
        }
    }
}

fn within(len: usize, offset: usize, sizes: [usize; 2], strides: [isize; 2]) -> Result<()> {
    if sizes.contains(&0) {
        return Ok(());
    }
    let (mut low, mut high) = (offset as i128, offset as i128);
    for (size, stride) in sizes.into_iter().zip(strides) {
        let reach = (size as i128 - 1) * stride as i128;
        *(if reach < 0 { &mut low } else { &mut high }) += reach;
    }
    if low >= 0 && high < len as i128 {
        return Ok(());
    }
    Err(Error::argument("a matrix reaches past its memory"))
}

/// `c = a b`, or `c += a b`, on this thread.
pub(crate) fn multiply<R: Real>(
    a: Matrix<'_, R>,
    b: Matrix<'_, R>,
    c: &mut MatrixMut<'_, R>,
    accumulate: bool,
) -> Result<()> {
    let ([m, k], [_, n]) = (a.sizes, b.sizes);
    if b.sizes[0] != k || c.sizes != [m, n] {
        return Err(Error::shape("the sizes of a matrix product do not fit"));
    }
    if m * n == 0 {
        return Ok(());
    }
    let beta = if accumulate { R::one() } else { R::zero() };
    let start = |matrix: &Matrix<'_, R>| match k {
        0 => matrix.data.as_ptr(),
        // SAFETY: `within` checked that the offset lies in the slice.
        _ => unsafe { matrix.data.as_ptr().add(matrix.offset) },
    };
    // SAFETY: `within` checked for each matrix that all its elements lie in its slice; `c` is
    // exclusive, and the sizes are those of the matrices. With k = 0 nothing of a and b is read.
    unsafe {
        R::matrix_product(
            [m, k, n],
            (start(&a), a.strides),
            (start(&b), b.strides),
            beta,
            (c.start, c.strides),
        );
    }
    Ok(())
}

//! The largest elements of windows.

use std::marker::PhantomData;

use super::Axis;
use crate::kernels::dispatch::Loop;
use crate::kernels::real::{Real, Stored};

/// One row of the largest elements and their positions; they are compared as `R`.
pub(crate) struct MaxRow<'a, R, S> {
    pub(crate) compared: PhantomData<R>,
    pub(crate) image: &'a [S],
    /// Pixels of an input row.
    pub(crate) width: usize,
    pub(crate) channels: usize,
    /// Pixel pitches of input, output and index.
    pub(crate) pitches: [usize; 3],
    pub(crate) row: usize,
    pub(crate) axes: &'a [Axis; 2],
    pub(crate) y: &'a mut [S],
    pub(crate) index: &'a mut [i64],
}

impl<R: Real, S: Stored> Loop for MaxRow<'_, R, S> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (w, c, [down, across]) = (self.width, self.channels, self.axes);
        let (first_row, rows) = down.windows[self.row];
        let pixels = self.y.chunks_mut(self.pitches[1]).zip(self.index.chunks_mut(self.pitches[2]));
        for ((y, index), &(first, columns)) in pixels.zip(&across.windows) {
            let (y, index) = (&mut y[..c], &mut index[..c]);
            for i in 0..rows {
                for j in 0..columns {
                    let position =
                        (first_row + i * down.dilation) * w + first + j * across.dilation;
                    let x = &self.image[position * self.pitches[0]..][..c];
                    if i + j == 0 {
                        y.copy_from_slice(x);
                        index.fill(position as i64);
                        continue;
                    }
                    for ((y, index), &x) in y.iter_mut().zip(&mut *index).zip(x) {
                        let (new, old) = (R::load(x), R::load(*y));
                        let wins = new > old || (new.is_nan() && !old.is_nan());
                        *y = if wins { x } else { *y };
                        *index = if wins { position as i64 } else { *index };
                    }
                }
            }
        }
    }
}

//! Resampled rows of channels-last images: down the columns first, where whole rows are added, then
//! along the row.

use ferrotape_backend::Taps;

use super::dispatch::Loop;
use super::real::Real;

/// A sparse matrix with weights of the type that is computed in.
pub(crate) struct Matrix<R> {
    offsets: Vec<usize>,
    taps: Vec<(usize, R)>,
    /// Whether it changes nothing.
    pub(crate) identity: bool,
}

impl<R: Real> Matrix<R> {
    pub(crate) fn new(taps: &Taps) -> Self {
        let mut matrix = Matrix {
            offsets: Vec::with_capacity(taps.outputs() + 1),
            taps: Vec::with_capacity(taps.count()),
            identity: taps.is_identity(),
        };
        matrix.offsets.push(0);
        for output in 0..taps.outputs() {
            matrix.taps.extend(taps.row(output).map(|(index, weight)| (index, R::of(weight))));
            matrix.offsets.push(matrix.taps.len());
        }
        matrix
    }

    #[inline(always)]
    fn row(&self, output: usize) -> &[(usize, R)] {
        &self.taps[self.offsets[output]..self.offsets[output + 1]]
    }
}

/// One row of resampled images.
pub(crate) struct ResampleRow<'a, R> {
    /// The image, from its first pixel.
    pub(crate) image: &'a [R],
    /// Pixels of an input row.
    pub(crate) width: usize,
    pub(crate) channels: usize,
    /// Pixel pitches of input and output.
    pub(crate) pitches: [usize; 2],
    pub(crate) row: usize,
    pub(crate) rows: &'a Matrix<R>,
    pub(crate) columns: &'a Matrix<R>,
    pub(crate) y: &'a mut [R],
    /// Room for an input row without gaps.
    pub(crate) line: &'a mut [R],
}

impl<R: Real> Loop for ResampleRow<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (c, [pitch, out]) = (self.channels, self.pitches);
        let row_of = |row: usize| &self.image[row * self.width * pitch..];
        let down = self.rows.row(self.row);
        if self.columns.identity && out == c {
            self.y.fill(R::zero());
            for &(row, weight) in down {
                add_row::<R, FMA>(self.y, row_of(row), weight, c, pitch);
            }
            return;
        }
        let (line, pitch) = match down {
            // A row that is taken as it is need not be copied.
            &[(row, weight)] if weight == R::one() => (row_of(row), pitch),
            _ => {
                self.line.fill(R::zero());
                for &(row, weight) in down {
                    add_row::<R, FMA>(self.line, row_of(row), weight, c, pitch);
                }
                (&*self.line, c)
            }
        };
        if c == 1 && out == 1 {
            for (output, y) in self.y.iter_mut().enumerate() {
                *y = dot::<R, FMA>(self.columns.row(output), line, pitch);
            }
            return;
        }
        for (output, y) in self.y.chunks_mut(out).enumerate() {
            let y = &mut y[..c];
            match self.columns.row(output) {
                &[(pixel, weight)] if weight == R::one() => {
                    y.copy_from_slice(&line[pixel * pitch..][..c]);
                }
                across => {
                    y.fill(R::zero());
                    for &(pixel, weight) in across {
                        for (y, &x) in y.iter_mut().zip(&line[pixel * pitch..][..c]) {
                            *y = R::fused::<FMA>(x, weight, *y);
                        }
                    }
                }
            }
        }
    }
}

/// `line += weight row`, without the gaps between pixels.
#[inline(always)]
fn add_row<R: Real, const FMA: bool>(
    line: &mut [R],
    row: &[R],
    weight: R,
    channels: usize,
    pitch: usize,
) {
    if pitch == channels {
        for (sum, &x) in line.iter_mut().zip(row) {
            *sum = R::fused::<FMA>(x, weight, *sum);
        }
        return;
    }
    for (line, x) in line.chunks_exact_mut(channels).zip(row.chunks(pitch)) {
        for (sum, &x) in line.iter_mut().zip(x) {
            *sum = R::fused::<FMA>(x, weight, *sum);
        }
    }
}

/// The weighted sum over a row of single numbers.
#[inline(always)]
fn dot<R: Real, const FMA: bool>(taps: &[(usize, R)], line: &[R], pitch: usize) -> R {
    let mut sum = R::zero();
    for &(pixel, weight) in taps {
        sum = R::fused::<FMA>(line[pixel * pitch], weight, sum);
    }
    sum
}

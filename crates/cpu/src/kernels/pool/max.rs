//! The largest elements of windows.

use super::Axis;
use crate::kernels::dispatch::{Kernel, Loop};
use crate::kernels::simd::{InMemory, LANES, Simd, read, write};

/// Vectors that are compared at a time: their largest elements, and where these are, stay in registers.
const VECTORS: usize = 4;

/// One row of the largest elements, and of their positions if these are wanted: as a [`Kernel`] of what is
/// compared as f32, as a [`Loop`] of f64.
pub(crate) struct MaxRow<'a, T> {
    pub(crate) image: &'a [T],
    /// Pixels of an input row.
    pub(crate) width: usize,
    pub(crate) channels: usize,
    /// Pixel pitches of input, output and index.
    pub(crate) pitches: [usize; 3],
    pub(crate) row: usize,
    pub(crate) axes: &'a [Axis; 2],
    pub(crate) y: &'a mut [T],
    pub(crate) index: Option<&'a mut [i64]>,
}

/// The input pixels that an output pixel sees.
struct Window {
    /// Of the first one.
    position: usize,
    rows: usize,
    columns: usize,
    /// Pixels from one row to the next.
    down: usize,
    /// Pixels from one column to the next.
    across: usize,
}

impl Window {
    /// All of them, in their order in the image.
    #[inline(always)]
    fn positions(&self) -> impl Iterator<Item = usize> + use<> {
        let Window { position, rows, columns, down, across } = *self;
        (0..rows).flat_map(move |i| (0..columns).map(move |j| position + i * down + j * across))
    }
}

impl<T> MaxRow<'_, T> {
    /// The window of output pixel `pixel`.
    #[inline(always)]
    fn window(&self, pixel: usize) -> Window {
        let [down, across] = self.axes;
        let ((first_row, rows), (first, columns)) = (down.windows[self.row], across.windows[pixel]);
        Window {
            position: first_row * self.width + first,
            rows,
            columns,
            down: down.dilation * self.width,
            across: across.dilation,
        }
    }
}

impl<T: InMemory> Kernel for MaxRow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (c, [x_pitch, y_pitch, index_pitch]) = (self.channels, self.pitches);
        for pixel in 0..self.axes[1].windows.len() {
            let window = self.window(pixel);
            let y = &mut self.y[pixel * y_pitch..][..c];
            let mut index = self.index.as_mut().map(|index| &mut index[pixel * index_pitch..][..c]);
            for (part, y) in y.chunks_mut(VECTORS * LANES).enumerate() {
                let at = part * VECTORS * LANES;
                let index = index.as_mut().map(|index| &mut index[at..][..y.len()]);
                let image = &self.image[at..];
                match y.len() == VECTORS * LANES {
                    true => part_of::<S, T, VECTORS>(simd, &window, image, x_pitch, y, index),
                    false => {
                        let mut index = index;
                        for (v, y) in y.chunks_mut(LANES).enumerate() {
                            let index =
                                index.as_mut().map(|index| &mut index[v * LANES..][..y.len()]);
                            let image = &image[v * LANES..];
                            part_of::<S, T, 1>(simd, &window, image, x_pitch, y, index);
                        }
                    }
                }
            }
        }
    }
}

/// As many channels as `y` has, in `V` vectors, the last of which may not be full; `image` begins with the
/// first of them.
#[inline(always)]
fn part_of<S: Simd, T: InMemory, const V: usize>(
    simd: S,
    window: &Window,
    image: &[T],
    pitch: usize,
    y: &mut [T],
    index: Option<&mut [i64]>,
) {
    let len = y.len();
    let vector = |v: usize| v * LANES..len.min((v + 1) * LANES);
    let mut largest = [[simd.splat(0.0); 2]; V];
    for (number, position) in window.positions().enumerate() {
        let x = &image[position * pitch..][..len];
        let place = simd.splat(f32::from_bits(position as u32));
        for (v, largest) in largest.iter_mut().enumerate() {
            let new = [read(simd, &x[vector(v)]), place];
            *largest = if number == 0 { new } else { simd.larger(new, *largest) };
        }
    }
    for (v, [value, _]) in largest.into_iter().enumerate() {
        write(simd, &mut y[vector(v)], value);
    }
    let Some(index) = index else { return };
    for (index, [_, place]) in index.chunks_mut(LANES).zip(largest) {
        let mut lanes = [0.0f32; LANES];
        write(simd, &mut lanes[..], place);
        for (to, place) in index.iter_mut().zip(lanes) {
            *to = i64::from(place.to_bits());
        }
    }
}

impl Loop for MaxRow<'_, f64> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(mut self) {
        let (c, [x_pitch, y_pitch, index_pitch]) = (self.channels, self.pitches);
        for pixel in 0..self.axes[1].windows.len() {
            let positions = self.window(pixel).positions();
            let y = &mut self.y[pixel * y_pitch..][..c];
            let mut index = self.index.as_mut().map(|index| &mut index[pixel * index_pitch..][..c]);
            for (number, position) in positions.enumerate() {
                let x = &self.image[position * x_pitch..][..c];
                for (channel, (y, &new)) in y.iter_mut().zip(x).enumerate() {
                    if number == 0 || new > *y || (new.is_nan() && !y.is_nan()) {
                        *y = new;
                        if let Some(index) = &mut index {
                            index[channel] = position as i64;
                        }
                    }
                }
            }
        }
    }
}

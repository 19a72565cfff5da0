//! The largest elements of windows.

use super::Axis;
use crate::kernels::dispatch::{Kernel, Loop};
use crate::kernels::fetch::fetch_ahead;
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
    /// That of output `[row, pixel]`, in an image of rows of `width` pixels.
    #[inline(always)]
    fn of([down, across]: &[Axis; 2], [row, pixel]: [usize; 2], width: usize) -> Self {
        let ((first_row, rows), (first, columns)) = (down.windows[row], across.windows[pixel]);
        Window {
            position: first_row * width + first,
            rows,
            columns,
            down: down.dilation * width,
            across: across.dilation,
        }
    }

    /// All of them, in their order in the image.
    #[inline(always)]
    fn positions(&self) -> impl Iterator<Item = usize> + use<> {
        let Window { position, rows, columns, down, across } = *self;
        (0..rows).flat_map(move |i| (0..columns).map(move |j| position + i * down + j * across))
    }
}

impl<T: InMemory> Kernel for MaxRow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (c, [x_pitch, y_pitch, index_pitch]) = (self.channels, self.pitches);
        for pixel in 0..self.axes[1].windows.len() {
            let window = Window::of(self.axes, [self.row, pixel], self.width);
            let y = &mut self.y[pixel * y_pitch..][..c];
            let mut index = self.index.as_mut().map(|index| &mut index[pixel * index_pitch..][..c]);
            for part in parts(c) {
                let y = &mut y[part.start..];
                let index = index.as_mut().map(|index| &mut index[part.start..]);
                let x = (&self.image[part.start..], x_pitch);
                match part.vectors {
                    VECTORS => largest::<S, T, VECTORS>(simd, &window, x, LANES, y, index),
                    _ => largest::<S, T, 1>(simd, &window, x, part.last, y, index),
                }
            }
        }
    }
}

/// Channels that are looked at together.
struct Part {
    start: usize,
    vectors: usize,
    /// Channels of the last vector; the others are full.
    last: usize,
}

/// All channels, [`VECTORS`] vectors at a time and then one by one.
#[inline(always)]
fn parts(channels: usize) -> impl Iterator<Item = Part> {
    let wide = VECTORS * LANES;
    let whole = channels / wide * wide;
    let many = (0..whole).step_by(wide).map(|start| Part { start, vectors: VECTORS, last: LANES });
    let single = (whole..channels).step_by(LANES).map(move |start| {
        let last = LANES.min(channels - start);
        Part { start, vectors: 1, last }
    });
    many.chain(single)
}

/// The largest of `V` vectors of channels, of which the last has `last` channels.
#[inline(always)]
fn largest<S: Simd, T: InMemory, const V: usize>(
    simd: S,
    window: &Window,
    (image, pitch): (&[T], usize),
    last: usize,
    y: &mut [T],
    index: Option<&mut [i64]>,
) {
    let lanes = |v: usize| v * LANES..v * LANES + if v + 1 == V { last } else { LANES };
    let mut largest = [[simd.splat(0.0); 2]; V];
    for (number, position) in window.positions().enumerate() {
        let x = &image[position * pitch..][..lanes(V - 1).end];
        let place = simd.splat(f32::from_bits(position as u32));
        for (v, largest) in largest.iter_mut().enumerate() {
            let new = [read(simd, &x[lanes(v)]), place];
            *largest = if number == 0 { new } else { simd.larger(new, *largest) };
        }
    }
    for (v, [value, _]) in largest.into_iter().enumerate() {
        write(simd, &mut y[lanes(v)], value);
    }
    let Some(index) = index else { return };
    for (v, [_, place]) in largest.into_iter().enumerate() {
        let mut places = [0.0f32; LANES];
        write(simd, &mut places[..], place);
        for (to, place) in index[lanes(v)].iter_mut().zip(places) {
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
            let positions = Window::of(self.axes, [self.row, pixel], self.width).positions();
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

/// Adds the gradients of a row of outputs to the sums of the input pixels that were the largest of their windows:
/// each pixel of a window is compared with where the largest was, sixteen channels at a time.
pub(crate) struct MaxGradRow<'a, T> {
    /// From the row's first pixel on, as the index.
    pub(crate) gy: &'a [T],
    /// Positions in the plane.
    pub(crate) index: &'a [i64],
    /// Pixel pitches of gradient and index.
    pub(crate) pitches: [usize; 2],
    /// Pixels of an input row.
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) row: usize,
    pub(crate) axes: &'a [Axis; 2],
    /// Of a whole image, channels last and without gaps.
    pub(crate) sums: &'a mut [f32],
}

impl<T: InMemory> Kernel for MaxGradRow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let c = self.channels;
        for pixel in 0..self.axes[1].windows.len() {
            let window = Window::of(self.axes, [self.row, pixel], self.width);
            let gy = &self.gy[pixel * self.pitches[0]..][..c];
            let index = &self.index[pixel * self.pitches[1]..][..c];
            fetch_ahead(gy);
            fetch_ahead(index);
            for part in parts(c) {
                let (gy, index) = (&gy[part.start..], &index[part.start..]);
                let sums = (&mut self.sums[part.start..], c);
                match part.vectors {
                    VECTORS => spread::<S, T, VECTORS>(simd, &window, gy, index, LANES, sums),
                    _ => spread::<S, T, 1>(simd, &window, gy, index, part.last, sums),
                }
            }
        }
    }
}

/// The gradients of `V` vectors of channels, of which the last has `last` channels.
#[inline(always)]
fn spread<S: Simd, T: InMemory, const V: usize>(
    simd: S,
    window: &Window,
    gy: &[T],
    index: &[i64],
    last: usize,
    (sums, pitch): (&mut [f32], usize),
) {
    let lanes = |v: usize| v * LANES..v * LANES + if v + 1 == V { last } else { LANES };
    let mut gradients = [[simd.splat(0.0); 2]; V];
    for (v, [gradient, place]) in gradients.iter_mut().enumerate() {
        let mut places = [0.0f32; LANES];
        for (place, &position) in places.iter_mut().zip(&index[lanes(v)]) {
            *place = f32::from_bits(position as u32);
        }
        *gradient = read(simd, &gy[lanes(v)]);
        *place = read(simd, &places[..]);
    }
    for position in window.positions() {
        let here = simd.splat(f32::from_bits(position as u32));
        let sums = &mut sums[position * pitch..][..lanes(V - 1).end];
        for (v, &[gradient, place]) in gradients.iter().enumerate() {
            let to = &mut sums[lanes(v)];
            let sum = read(simd, &*to);
            write(simd, to, simd.add_where_equal([place, here], gradient, sum));
        }
    }
}

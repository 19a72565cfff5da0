//! Convolutions of 3 x 3 by Winograd's algorithm F(2 x 2, 3 x 3): 16 products for four outputs in place of 36
//! (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, section 4.1).
//!
//! Images are cut into tiles of 2 x 2 outputs, which see 4 x 4 inputs. In one dimension, with inputs d, weights g
//! and outputs y,
//!
//! ```text
//! v = (d0 - d2, d1 + d2, d2 - d1, d1 - d3)                      what becomes of inputs
//! u = (g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2)          what becomes of weights
//! m = v u                                                       summed over channels
//! y = (m0 + m1 + m2, m1 - m2 - m3)
//! ```
//!
//! and in two dimensions first down, then across. Each of the sixteen *places* of a tile is a matrix product
//! over channels by itself. An output takes no input outside of its window, so a NaN reaches where it would
//! reach directly; an infinity becomes a NaN.

use std::marker::PhantomData;

use ferrotape_backend::{Error, Result};

use super::ending::Ending;
use crate::kernels::dispatch::Kernel;
use crate::kernels::simd::{LANES, Simd};
use crate::kernels::split::Parts;

/// Places of a tile.
pub(crate) const PLACES: usize = 16;

/// Elements of a kernel.
pub(crate) const ELEMENTS: usize = 9;

/// How an image is cut into tiles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiling {
    /// Images.
    pub(crate) n: usize,
    /// Rows and columns of an image of inputs.
    pub(crate) size: [usize; 2],
    /// Rows and columns of an image of outputs.
    pub(crate) out: [usize; 2],
    /// Rows above and columns to the left of the inputs that windows reach over.
    pub(crate) before: [usize; 2],
}

/// The image of a tile, and its row and column among that image's tiles.
type TilePlace = (usize, [usize; 2]);

impl Tiling {
    /// Tiles of an image, down and across.
    fn grid(&self) -> [usize; 2] {
        self.out.map(|size| size.div_ceil(2))
    }

    /// Tiles in all.
    pub(crate) fn count(&self) -> usize {
        self.n * self.grid().iter().product::<usize>()
    }

    /// Where a tile is.
    #[inline(always)]
    fn place(&self, tile: usize) -> TilePlace {
        let [down, across] = self.grid();
        (tile / (down * across), [tile / across % down, tile % across])
    }

    /// The number of the output pixel at row `i` and column `j` of a tile, if there is one.
    #[inline(always)]
    fn output(&self, (image, [row, column]): TilePlace, i: usize, j: usize) -> Option<usize> {
        let ([h, w], y, x) = (self.out, 2 * row + i, 2 * column + j);
        (y < h && x < w).then_some((image * h + y) * w + x)
    }

    /// The number of the input pixel at row `i` and column `j` of what a tile sees, if it is no padding.
    #[inline(always)]
    fn input(&self, (image, [row, column]): TilePlace, i: usize, j: usize) -> Option<usize> {
        let ([h, w], [above, left]) = (self.size, self.before);
        let y = (2 * row + i).checked_sub(above).filter(|&y| y < h)?;
        let x = (2 * column + j).checked_sub(left).filter(|&x| x < w)?;
        Some((image * h + y) * w + x)
    }
}

/// A linear map of `N` numbers to `M`, of vectors lane by lane.
///
/// Loops over its results are written out: a closure would not be compiled for the vectors' instructions.
trait Map<const N: usize, const M: usize> {
    fn map<S: Simd>(simd: S, from: [S::V; N]) -> [S::V; M];
}

/// `[d0 - d2, d1 + d2, d2 - d1, d1 - d3]`.
struct OfInputs;

impl Map<4, 4> for OfInputs {
    #[inline(always)]
    fn map<S: Simd>(simd: S, [d0, d1, d2, d3]: [S::V; 4]) -> [S::V; 4] {
        [simd.sub(d0, d2), simd.add(d1, d2), simd.sub(d2, d1), simd.sub(d1, d3)]
    }
}

/// `[m0 + m1 + m2, m1 - m2 - m3]`.
struct ToOutputs;

impl Map<4, 2> for ToOutputs {
    #[inline(always)]
    fn map<S: Simd>(simd: S, [m0, m1, m2, m3]: [S::V; 4]) -> [S::V; 2] {
        [simd.add(simd.add(m0, m1), m2), simd.sub(simd.sub(m1, m2), m3)]
    }
}

/// The transpose of [`ToOutputs`]: `[g0, g0 + g1, g0 - g1, -g1]`.
struct OfGradients;

impl Map<2, 4> for OfGradients {
    #[inline(always)]
    fn map<S: Simd>(simd: S, [g0, g1]: [S::V; 2]) -> [S::V; 4] {
        [g0, simd.add(g0, g1), simd.sub(g0, g1), simd.sub(simd.splat(0.0), g1)]
    }
}

/// `[g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2]`.
struct OfWeights;

impl Map<3, 4> for OfWeights {
    #[inline(always)]
    fn map<S: Simd>(simd: S, [g0, g1, g2]: [S::V; 3]) -> [S::V; 4] {
        let (half, zero, outer) = (simd.splat(0.5), simd.splat(0.0), simd.add(g0, g2));
        let sum = simd.mul_add(simd.add(outer, g1), half, zero);
        let difference = simd.mul_add(simd.sub(outer, g1), half, zero);
        [g0, sum, difference, g2]
    }
}

/// The transpose of [`OfWeights`].
struct ToWeights;

impl Map<4, 3> for ToWeights {
    #[inline(always)]
    fn map<S: Simd>(simd: S, [m0, m1, m2, m3]: [S::V; 4]) -> [S::V; 3] {
        let (half, sum, difference) = (simd.splat(0.5), simd.add(m1, m2), simd.sub(m1, m2));
        let middle = simd.mul_add(difference, half, simd.splat(0.0));
        [simd.mul_add(sum, half, m0), middle, simd.mul_add(sum, half, m3)]
    }
}

/// The map of columns and then of rows.
#[inline(always)]
fn both<S: Simd, L: Map<N, M>, const N: usize, const M: usize>(
    simd: S,
    from: [[S::V; N]; N],
) -> [[S::V; M]; M] {
    let mut down = [[simd.splat(0.0); N]; M];
    for column in 0..N {
        let mut values = [simd.splat(0.0); N];
        for row in 0..N {
            values[row] = from[row][column];
        }
        let values = L::map(simd, values);
        for row in 0..M {
            down[row][column] = values[row];
        }
    }
    let mut result = [[simd.splat(0.0); M]; M];
    for row in 0..M {
        result[row] = L::map(simd, down[row]);
    }
    result
}

/// Vectors at the same distance from each of `N` by `N` places.
///
/// # Safety
/// `lanes` floats can be read at that distance, and are [`LANES`] at most.
#[inline(always)]
unsafe fn read_all<S: Simd, const N: usize>(
    simd: S,
    places: &[[*const f32; N]; N],
    distance: usize,
    lanes: usize,
) -> [[S::V; N]; N] {
    let mut values = [[simd.splat(0.0); N]; N];
    for row in 0..N {
        for column in 0..N {
            // SAFETY: the caller's.
            values[row][column] = unsafe { read(simd, places[row][column].add(distance), lanes) };
        }
    }
    values
}

/// Writes vectors `step` floats apart.
///
/// # Safety
/// `lanes` floats can be written at each place, and are [`LANES`] at most.
#[inline(always)]
unsafe fn write_all<S: Simd, const N: usize>(
    simd: S,
    to: *mut f32,
    step: usize,
    values: [[S::V; N]; N],
    lanes: usize,
) {
    for (row, values) in values.into_iter().enumerate() {
        for (column, value) in values.into_iter().enumerate() {
            // SAFETY: the caller's.
            unsafe { write(simd, to.add((N * row + column) * step), value, lanes) };
        }
    }
}

/// `N` by `N` addresses, `step` floats apart.
#[inline(always)]
fn places<const N: usize>(from: *const f32, step: usize) -> [[*const f32; N]; N] {
    let mut places = [[from; N]; N];
    for (row, places) in places.iter_mut().enumerate() {
        for (column, place) in places.iter_mut().enumerate() {
            *place = from.wrapping_add((N * row + column) * step);
        }
    }
    places
}

/// Pixels of images, as transforms read them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    /// From the first channel of the first pixel on.
    pub(crate) data: &'a [f32],
    /// Floats from one pixel to the next.
    pub(crate) pitch: usize,
    /// Channels that are read.
    pub(crate) channels: usize,
    /// As many zeros as channels: what padding is.
    pub(crate) zeros: &'a [f32],
}

impl Source<'_> {
    /// Whether pixels of these numbers and padding can be read.
    fn holds(&self, pixels: usize) -> bool {
        let last = pixels.saturating_sub(1).saturating_mul(self.pitch);
        self.zeros.len() >= self.channels
            && (pixels == 0 || last.saturating_add(self.channels) <= self.data.len())
    }

    /// Where a pixel's channels begin, or those of padding.
    ///
    /// # Safety
    /// The pixel is one of those that [`Source::holds`] was asked for.
    #[inline(always)]
    unsafe fn at(&self, pixel: Option<usize>) -> *const f32 {
        match pixel {
            // SAFETY: the caller's.
            Some(pixel) => unsafe { self.data.as_ptr().add(pixel * self.pitch) },
            None => self.zeros.as_ptr(),
        }
    }
}

/// Some tiles of images, and room for what becomes of them: `[place, tile, channel]`.
pub(crate) struct Tiles<'a> {
    pub(crate) tiling: Tiling,
    pub(crate) source: Source<'a>,
    /// The first tile, and how many.
    pub(crate) tiles: [usize; 2],
    /// Floats from one tile's channels to the next's.
    pub(crate) pitch: usize,
    pub(crate) to: &'a mut [f32],
}

impl Tiles<'_> {
    /// Writes the map `L` of the `N` by `N` pixels of each tile, whose numbers `pixel` gives; they are below
    /// `pixels`.
    #[inline(always)]
    fn map<S: Simd, L: Map<N, 4>, const N: usize>(
        self,
        simd: S,
        pixels: usize,
        pixel: impl Fn(TilePlace, usize, usize) -> Option<usize>,
    ) -> Result<()> {
        let Tiles { tiling, source, tiles: [first, count], pitch, to } = self;
        let fits = first + count <= tiling.count()
            && source.holds(pixels)
            && source.channels <= pitch
            && PLACES * count * pitch <= to.len();
        if !fits {
            return Err(Error::argument("the tiles of a convolution do not fit its images"));
        }
        for t in 0..count {
            let place = tiling.place(first + t);
            let mut addresses = [[source.zeros.as_ptr(); N]; N];
            for (i, row) in addresses.iter_mut().enumerate() {
                for (j, address) in row.iter_mut().enumerate() {
                    let pixel = pixel(place, i, j).filter(|&pixel| pixel < pixels);
                    // SAFETY: `fits` says that all pixels below `pixels` and padding can be read.
                    *address = unsafe { source.at(pixel) };
                }
            }
            for c in (0..source.channels).step_by(LANES) {
                let lanes = (source.channels - c).min(LANES);
                // SAFETY: pixels have as many channels; `fits` says that all places are in `to`.
                unsafe {
                    let values = read_all(simd, &addresses, c, lanes);
                    let values = both::<S, L, N, 4>(simd, values);
                    let to = to.as_mut_ptr().add(t * pitch + c);
                    write_all(simd, to, count * pitch, values, lanes);
                }
            }
        }
        Ok(())
    }
}

/// What becomes of inputs.
pub(crate) struct Inputs<'a>(pub(crate) Tiles<'a>);

impl Kernel for Inputs<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        let Tiling { n, size: [h, w], .. } = self.0.tiling;
        let tiling = self.0.tiling;
        self.0.map::<S, OfInputs, 4>(simd, n * h * w, |place, i, j| tiling.input(place, i, j))
    }
}

/// What becomes of the gradients of outputs.
pub(crate) struct OutputGrads<'a>(pub(crate) Tiles<'a>);

impl Kernel for OutputGrads<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        let Tiling { n, out: [h, w], .. } = self.0.tiling;
        let tiling = self.0.tiling;
        self.0.map::<S, OfGradients, 2>(simd, n * h * w, |place, i, j| tiling.output(place, i, j))
    }
}

/// The first `lanes` floats from `from`.
///
/// # Safety
/// They can be read, and are [`LANES`] at most.
#[inline(always)]
unsafe fn read<S: Simd>(simd: S, from: *const f32, lanes: usize) -> S::V {
    // SAFETY: the caller's.
    unsafe { if lanes == LANES { simd.load(from) } else { simd.load_part(from, lanes) } }
}

/// Writes the first `lanes` floats to `to`.
///
/// # Safety
/// They can be written, and are [`LANES`] at most.
#[inline(always)]
unsafe fn write<S: Simd>(simd: S, to: *mut f32, value: S::V, lanes: usize) {
    // SAFETY: the caller's.
    unsafe {
        if lanes == LANES { simd.store(to, value) } else { simd.store_part(to, value, lanes) }
    }
}

/// Outputs of some tiles from their products.
pub(crate) struct Outputs<'a> {
    /// `[place, tile, channel]`.
    pub(crate) products: &'a [f32],
    /// Of all images, from the first of these channels on.
    pub(crate) ending: Ending<'a, f32>,
    pub(crate) to: TilePixels<'a>,
}

impl Kernel for Outputs<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        let Outputs { products, ending, to } = self;
        let ([first, count], channels, tiling) = (to.tiles, to.channels, to.tiling);
        let last = (tiling.n * tiling.out[0] * tiling.out[1]).saturating_sub(1);
        let fits = PLACES * count * channels <= products.len() && ending.reaches(last, channels);
        if !fits {
            return Err(Error::argument("the operands of a convolution do not fit its tiles"));
        }
        let place_step = count * channels;
        for t in 0..count {
            let tile = tiling.place(first + t);
            for c in (0..channels).step_by(LANES) {
                let lanes = (channels - c).min(LANES);
                // SAFETY: `fits` says that products and what the ending reads are there; the pixels are of the tiles that
                // `to` may write, and have its channels.
                unsafe {
                    let from = places(products.as_ptr().add(t * channels), place_step);
                    let values = read_all(simd, &from, c, lanes);
                    let values = both::<S, ToOutputs, 4, 2>(simd, values);
                    let bias = ending.bias(simd, c, lanes);
                    for (i, row) in values.into_iter().enumerate() {
                        for (j, value) in row.into_iter().enumerate() {
                            if let Some(pixel) = tiling.output(tile, i, j) {
                                let to = to.start.add(pixel * to.pitch + c);
                                let sum = simd.add(value, bias);
                                write(simd, to, ending.of(simd, sum, [pixel, c], lanes), lanes);
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Some channels of the output pixels of some tiles, which nobody else has.
pub(crate) struct TilePixels<'a> {
    /// The first of these channels of the first pixel of all.
    start: *mut f32,
    pitch: usize,
    tiling: Tiling,
    /// The first tile, and how many.
    tiles: [usize; 2],
    channels: usize,
    owner: PhantomData<&'a mut [f32]>,
}

impl TilePixels<'_> {
    /// The tiles: the first, and how many.
    pub(crate) fn tiles(&self) -> [usize; 2] {
        self.tiles
    }

    /// Some of the channels.
    pub(crate) fn channel_range(&mut self, first: usize, count: usize) -> Result<TilePixels<'_>> {
        if first + count > self.channels {
            return Err(Error::argument("a convolution's tiles have no such channels"));
        }
        // SAFETY: the pixels have these channels.
        let start = unsafe { self.start.add(first) };
        Ok(TilePixels { start, channels: count, ..*self })
    }
}

/// Outputs of images, cut into the pixels of some tiles each.
pub(crate) struct TileParts<'a> {
    whole: TilePixels<'a>,
    /// Tiles of a part.
    each: usize,
}

impl<'a> TileParts<'a> {
    /// Cuts images with pixels `pitch` floats apart into parts of `each` tiles.
    pub(crate) fn new(
        data: &'a mut [f32],
        tiling: &Tiling,
        pitch: usize,
        channels: usize,
        each: usize,
    ) -> Result<Self> {
        let pixels = tiling.n * tiling.out[0] * tiling.out[1];
        let fits =
            channels <= pitch && (pixels == 0 || (pixels - 1) * pitch + channels <= data.len());
        if !fits {
            return Err(Error::argument("a convolution's result reaches past its memory"));
        }
        let (start, tiling, tiles) = (data.as_mut_ptr(), *tiling, [0, tiling.count()]);
        let whole = TilePixels { start, pitch, tiling, tiles, channels, owner: PhantomData };
        Ok(TileParts { whole, each: each.max(1) })
    }
}

// SAFETY: sharing `TileParts` gives every thread only parts that no other has.
unsafe impl Sync for TileParts<'_> {}

// SAFETY: each tile has output pixels of its own, and pixels do not overlap, because `new` saw to it that
// their pitch is no less than their channels.
unsafe impl<'a> Parts for TileParts<'a> {
    type Part = TilePixels<'a>;

    fn count(&self) -> usize {
        self.whole.tiles[1].div_ceil(self.each)
    }

    unsafe fn part(&self, index: usize) -> TilePixels<'a> {
        let first = index * self.each;
        let count = self.each.min(self.whole.tiles[1] - first);
        TilePixels { tiles: [first, count], ..self.whole }
    }
}

/// Makes of a panel's weights `[element, input, width]`, for 3 x 3 elements, those of the products: `[place,
/// input, width]`.
pub(crate) struct TransformWeights<'a> {
    pub(crate) panel: &'a [f32],
    pub(crate) to: &'a mut [f32],
}

impl Kernel for TransformWeights<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        let step = self.panel.len() / ELEMENTS;
        if !step.is_multiple_of(LANES) || self.to.len() < PLACES * step {
            return Err(Error::argument("the weights of a convolution have no room"));
        }
        let (from, to) = (places(self.panel.as_ptr(), step), self.to.as_mut_ptr());
        for at in (0..step).step_by(LANES) {
            // SAFETY: each element has `step` weights and each place room for as many, as was checked.
            unsafe {
                let values = read_all(simd, &from, at, LANES);
                write_all(simd, to.add(at), step, both::<S, OfWeights, 3, 4>(simd, values), LANES);
            }
        }
        Ok(())
    }
}

/// The reverse for gradients: of sums `[input, width]` a place, places `step` floats apart, `[element, input,
/// width]`.
pub(crate) struct WeightGradients<'a> {
    pub(crate) sums: &'a [f32],
    pub(crate) step: usize,
    pub(crate) panel: &'a mut [f32],
}

impl Kernel for WeightGradients<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        let len = self.panel.len() / ELEMENTS;
        if !len.is_multiple_of(LANES) || self.sums.len() < (PLACES - 1) * self.step + len {
            return Err(Error::argument("the gradients of a convolution's weights have no room"));
        }
        let (from, to) = (places(self.sums.as_ptr(), self.step), self.panel.as_mut_ptr());
        for at in (0..len).step_by(LANES) {
            // SAFETY: each place has `len` sums and each element room for as many, as was checked.
            unsafe {
                let values = read_all(simd, &from, at, LANES);
                write_all(simd, to.add(at), len, both::<S, ToWeights, 4, 3>(simd, values), LANES);
            }
        }
        Ok(())
    }
}

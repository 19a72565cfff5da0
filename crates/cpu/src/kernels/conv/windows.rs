//! Where the windows of output pixels lie in channels-last memory.
//!
//! A *frame* is an image with the padding that windows reach into: rows of pixels without gaps
//! between them. Where there is no padding the frame is the image itself, else a band of its rows is
//! copied, one that stays in a cache. The window of an output pixel is then a few *runs* of adjacent
//! floats: one for each kernel row (all its columns and channels), or one for each kernel element
//! where these are not adjacent.

use half::bf16;

use super::Geometry;
use crate::kernels::dispatch::Kernel;
use crate::kernels::fetch::fetch_ahead;
use crate::kernels::simd::{LANES, Simd, read, write};

/// Floats of half a page, at multiples of which lines of the nearest cache have eight neighbours or fewer.
const CROWDED: usize = 512;

/// How often a copy is read that is made for the sake of its gaps alone.
const READS: usize = 4;

/// The distance of pixels without gaps, or with the least gap that does not crowd a cache, see
/// [`Frame::spread`].
pub(crate) fn spread_pitch(channels: usize) -> usize {
    if channels.is_multiple_of(CROWDED) { channels + LANES } else { channels }
}

/// An image and its padding.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// Rows and columns of the image.
    size: [usize; 2],
    /// Rows above and columns to the left of the image.
    before: [usize; 2],
    /// Rows and columns in all.
    padded: [usize; 2],
    /// Floats of a pixel.
    channels: usize,
    /// Floats from one pixel of the image to the next.
    image_pitch: usize,
    /// Whether it is a copy even where nothing is padded.
    copied: bool,
    /// Floats between the pixels of a copy.
    gap: usize,
}

impl Frame {
    /// For the input of a convolution: padded as it says.
    pub(crate) fn of_input(geometry: &Geometry) -> Self {
        let padding = geometry.params.padding;
        Frame {
            size: geometry.size,
            before: padding,
            padded: [0, 1].map(|axis| geometry.size[axis] + 2 * padding[axis]),
            channels: geometry.inputs,
            image_pitch: geometry.x_pitch,
            copied: false,
            gap: 0,
        }
    }

    /// As [`Frame::of_input`], always without gaps between the pixels.
    pub(crate) fn of_dense_input(geometry: &Geometry) -> Self {
        let copied = geometry.x_pitch != geometry.inputs;
        Frame { copied, ..Self::of_input(geometry) }
    }

    /// As [`Frame::of_input`], always a copy.
    pub(crate) fn of_copied_input(geometry: &Geometry) -> Self {
        Frame { copied: true, ..Self::of_input(geometry) }
    }

    /// For the output's gradient, as the input's gradient sees it: see [`Windows::of_phase`].
    pub(crate) fn of_gradient(geometry: &Geometry) -> Self {
        let reach = [0, 1].map(|axis| Reach::new(geometry, axis));
        Frame {
            size: geometry.out,
            before: reach.map(|reach| reach.before),
            padded: [0, 1].map(|axis| {
                let after = reach[axis].after.saturating_sub(geometry.out[axis]);
                reach[axis].before + geometry.out[axis] + after
            }),
            channels: geometry.outputs,
            image_pitch: geometry.y_pitch,
            copied: false,
            gap: 0,
        }
    }

    /// With pixels that are read beside each other so far apart that a cache has room for all of them.
    ///
    /// Where pixels are whole pages apart, or halves, the same few lines of the nearest cache would have to hold
    /// each of a tile; `reads` is how often a copy is read.
    pub(crate) fn spread(mut self, reads: usize) -> Self {
        let crowded = self.pitch().is_multiple_of(CROWDED);
        if crowded && (!self.is_image() || reads >= READS) {
            (self.copied, self.gap) = (true, LANES);
        }
        self
    }

    /// Whether the image is its own frame, and nothing has to be copied.
    pub(crate) fn is_image(&self) -> bool {
        self.padded == self.size && !self.copied
    }

    /// Floats from one pixel to the next.
    pub(crate) fn pitch(&self) -> usize {
        if self.is_image() { self.image_pitch } else { self.copy_pitch() }
    }

    /// Floats from one pixel of a copy to the next.
    fn copy_pitch(&self) -> usize {
        self.channels + self.gap
    }

    /// Floats of a row.
    pub(crate) fn row(&self) -> usize {
        self.padded[1] * self.pitch()
    }

    /// Rows in all.
    pub(crate) fn rows(&self) -> usize {
        self.padded[0]
    }

    /// Floats from one image to the next.
    pub(crate) fn image_len(&self) -> usize {
        self.size[0] * self.size[1] * self.image_pitch
    }

    /// Copies rows of the frame, from row `first` on, out of the image that it is for; as many as
    /// `band` has room for. Rows past the frame's end are padding too.
    pub(crate) fn copy(&self, image: &[f32], first: usize, band: &mut [f32]) {
        let ([h, w], [above, left]) = (self.size, self.before);
        let (channels, pitch) = (self.channels, self.copy_pitch());
        for (i, row) in band.chunks_exact_mut((self.padded[1] * pitch).max(1)).enumerate() {
            let Some(y) = (first + i).checked_sub(above).filter(|&y| y < h) else {
                row.fill(0.0);
                continue;
            };
            let (before, rest) = row.split_at_mut(left * pitch);
            let (inside, after) = rest.split_at_mut(w * pitch);
            before.fill(0.0);
            after.fill(0.0);
            let pixels = &image[y * w * self.image_pitch..];
            if self.image_pitch == pitch {
                inside.copy_from_slice(&pixels[..w * pitch]);
                continue;
            }
            let sources = pixels.chunks(self.image_pitch);
            for (to, from) in inside.chunks_exact_mut(pitch).zip(sources) {
                to[..channels].copy_from_slice(&from[..channels]);
            }
        }
    }

    /// Whether it is one row of pixels without padding.
    pub(crate) fn is_row(&self) -> bool {
        self.size[0] == 1 && self.padded == self.size
    }

    /// As [`Frame::copy`] for pixels of a frame that is one row, from pixel `first` on.
    pub(crate) fn copy_run(&self, image: &[f32], first: usize, band: &mut [f32]) {
        let pixels = image[first * self.image_pitch..].chunks(self.image_pitch.max(1));
        for (to, from) in band.chunks_mut(self.copy_pitch().max(1)).zip(pixels) {
            let count = self.channels.min(to.len());
            to[..count].copy_from_slice(&from[..count]);
        }
    }

    /// The reverse of [`Frame::copy`] for a whole image: what lies in the padding is dropped.
    pub(crate) fn uncopy(&self, band: &[f32], image: &mut [f32]) {
        let ([h, w], [above, left]) = (self.size, self.before);
        let channels = self.channels;
        let rows = band.chunks_exact((self.padded[1] * channels).max(1)).skip(above).take(h);
        for (y, row) in rows.enumerate() {
            let inside = &row[left * channels..(left + w) * channels];
            let pixels = image[y * w * self.image_pitch..].chunks_mut(self.image_pitch);
            for (to, from) in pixels.zip(inside.chunks_exact(channels)) {
                to[..channels].copy_from_slice(from);
            }
        }
    }
}

/// As [`Frame::copy`], of an image of bf16: a word of the copy holds the number at its own place and the one
/// `shift` pixels on.
pub(crate) struct CopyPairs<'a> {
    pub(crate) frame: &'a Frame,
    pub(crate) image: &'a [bf16],
    /// The first row.
    pub(crate) first: usize,
    pub(crate) shift: usize,
    pub(crate) band: &'a mut [f32],
}

impl Kernel for CopyPairs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let CopyPairs { frame, image, first, shift, band } = self;
        let ([h, w], [above, left], padded) = (frame.size, frame.before, frame.padded[1]);
        let (channels, pitch) = (frame.channels, frame.image_pitch);
        // The columns that have a number at their own place, and those that have one further on.
        let near = [left, left + w];
        let far = near.map(|column| column.saturating_sub(shift));
        let mut cuts = [0, near[0], near[1], far[0], far[1], padded];
        cuts.sort_unstable();
        for (i, row) in band.chunks_exact_mut((padded * channels).max(1)).enumerate() {
            let Some(y) = (first + i).checked_sub(above).filter(|&y| y < h) else {
                row.fill(0.0);
                continue;
            };
            let pixels = &image[y * w * pitch..];
            for cut in cuts.windows(2).filter(|cut| cut[0] < cut[1]) {
                let (start, columns) = (cut[0], cut[1] - cut[0]);
                let has = |[from, to]: [usize; 2]| (from..to).contains(&start);
                let from = [
                    if has(near) { Some(&pixels[(start - left) * pitch..]) } else { None },
                    if has(far) { Some(&pixels[(start + shift - left) * pitch..]) } else { None },
                ];
                let to = &mut row[start * channels..][..columns * channels];
                if pitch == channels {
                    merge(simd, from, 0, to);
                } else {
                    for (column, to) in to.chunks_exact_mut(channels.max(1)).enumerate() {
                        merge(simd, from, column * pitch, to);
                    }
                }
            }
        }
    }
}

/// Words of what lies in each of two places from `start` on, zeros where nothing does.
#[inline(always)]
fn merge<S: Simd>(simd: S, from: [Option<&[bf16]>; 2], start: usize, to: &mut [f32]) {
    let len = to.len();
    for at in (0..len).step_by(LANES) {
        let count = LANES.min(len - at);
        let mut values = [simd.splat(0.0); 2];
        for (value, from) in values.iter_mut().zip(from) {
            if let Some(from) = from {
                let from = &from[start + at..][..count];
                fetch_ahead(from);
                *value = read(simd, from);
            }
        }
        write(simd, &mut to[at..at + count], simd.pair(values[0], values[1]));
    }
}

/// How far the gradients of outputs lie that an input pixel takes part in, along one axis.
///
/// Input `i = s t + a` meets kernel element k at output `t + (a + p - k d) / s` where that is whole.
#[derive(Debug, Clone, Copy)]
struct Reach {
    /// Outputs before the first that are asked for.
    before: usize,
    /// The end of the last output that is asked for.
    after: usize,
}

impl Reach {
    fn new(geometry: &Geometry, axis: usize) -> Self {
        let (stride, size) = (geometry.params.stride[axis], geometry.size[axis]);
        let (mut low, mut high) = (0, 0);
        for phase in 0..stride.min(size) {
            let count = (size - phase).div_ceil(stride) as isize;
            for (_, shift) in shifts(geometry, axis, phase) {
                low = low.min(shift);
                high = high.max(shift + count);
            }
        }
        Reach { before: low.unsigned_abs(), after: high.unsigned_abs() }
    }
}

/// The kernel elements that reach inputs of one phase along one axis, and the distance from input
/// `s t + phase`, counted as `t`, to the output that they reach it from.
fn shifts(geometry: &Geometry, axis: usize, phase: usize) -> Vec<(usize, isize)> {
    let params = &geometry.params;
    let (stride, padding) = (params.stride[axis] as isize, params.padding[axis] as isize);
    (0..geometry.kernel[axis])
        .filter_map(|k| {
            let distance = phase as isize + padding - (k * params.dilation[axis]) as isize;
            (distance % stride == 0).then_some((k, distance / stride))
        })
        .collect()
}

/// Where windows lie in a frame.
#[derive(Debug, Clone)]
pub(crate) struct Windows {
    /// Floats from one output row's windows to the next's.
    pub(crate) row_step: usize,
    /// Rows of the frame from one output row's windows to the next's.
    pub(crate) down: usize,
    /// Rows of the frame that the windows of one output row reach over.
    pub(crate) height: usize,
    /// Floats from one output pixel's window to the next's in its row.
    pub(crate) pixel_step: usize,
    /// Where the runs of a window begin, from its first.
    pub(crate) runs: Vec<usize>,
    /// Floats of a run.
    pub(crate) run: usize,
    /// Output rows, and output pixels of a row.
    pub(crate) out: [usize; 2],
    /// The kernel rows and columns that the runs are of, in their order.
    pub(crate) elements: Vec<[usize; 2]>,
}

impl Windows {
    /// Those of a convolution's output pixels, in [`Frame::of_input`].
    pub(crate) fn new(geometry: &Geometry, frame: &Frame) -> Self {
        let params = &geometry.params;
        let axis = |axis: usize| {
            let at = |k: usize| (k, k * params.dilation[axis]);
            (0..geometry.kernel[axis]).map(at).collect::<Vec<_>>()
        };
        Self::at(frame, [axis(0), axis(1)], params.stride, geometry.out)
    }

    /// Those that give the input's gradient at every `stride`-th input, from row `phase[0]` and
    /// column `phase[1]` on, in [`Frame::of_gradient`].
    pub(crate) fn of_phase(geometry: &Geometry, frame: &Frame, phase: [usize; 2]) -> Self {
        let stride = geometry.params.stride;
        let axis = |axis: usize| {
            let at =
                |(k, shift): (usize, isize)| (k, frame.before[axis].wrapping_add_signed(shift));
            shifts(geometry, axis, phase[axis]).into_iter().map(at).collect::<Vec<_>>()
        };
        let out = [0, 1]
            .map(|axis| geometry.size[axis].saturating_sub(phase[axis]).div_ceil(stride[axis]));
        Self::at(frame, [axis(0), axis(1)], [1, 1], out)
    }

    /// Those of pixels that see themselves only: `count` of them, `pitch` floats apart.
    pub(crate) fn of_pixels(count: usize, channels: usize, pitch: usize) -> Self {
        Windows {
            row_step: 0,
            down: 0,
            height: 1,
            pixel_step: pitch,
            runs: vec![0],
            run: channels,
            out: [1, count],
            elements: vec![[0, 0]],
        }
    }

    /// Those of pixels that see themselves only, whose channels lie by panels of [`LANES`]: `[panel, pixel, lane]`.
    pub(crate) fn of_panels(count: usize, channels: usize) -> Self {
        Windows {
            pixel_step: LANES,
            runs: (0..channels / LANES).map(|panel| panel * count * LANES).collect(),
            run: LANES,
            ..Self::of_pixels(count, channels, LANES)
        }
    }

    /// Windows of kernel elements and their rows and columns in a frame.
    fn at(
        frame: &Frame,
        [rows, columns]: [Vec<(usize, usize)>; 2],
        step: [usize; 2],
        out: [usize; 2],
    ) -> Self {
        let (row, pitch) = (frame.row(), frame.pitch());
        let height = rows.iter().map(|&(_, y)| y + 1).max().unwrap_or(0);
        let adjacent =
            pitch == frame.channels && columns.windows(2).all(|pair| pair[1].1 == pair[0].1 + 1);
        let mut runs = Vec::new();
        let mut elements = Vec::new();
        for &(kh, y) in &rows {
            for (i, &(kw, x)) in columns.iter().enumerate() {
                elements.push([kh, kw]);
                if i == 0 || !adjacent {
                    runs.push(y * row + x * pitch);
                }
            }
        }
        let run = frame.channels * if adjacent { columns.len() } else { 1 };
        Windows {
            row_step: step[0] * row,
            down: step[0],
            height,
            pixel_step: step[1] * pitch,
            runs,
            run,
            out,
            elements,
        }
    }

    /// Floats of a window.
    pub(crate) fn taps(&self) -> usize {
        self.runs.len() * self.run
    }

    /// Rows of the frame that the windows of `rows` output rows reach over.
    pub(crate) fn band_rows(&self, rows: usize) -> usize {
        rows.saturating_sub(1) * self.down + self.height
    }

    /// The end of the last window of `rows` rows of `pixels` output pixels; windows of nothing reach nowhere.
    pub(crate) fn reach(&self, rows: usize, pixels: usize) -> usize {
        self.runs.iter().copied().max().map_or(0, |last| {
            rows.saturating_sub(1) * self.row_step
                + pixels.saturating_sub(1) * self.pixel_step
                + last
                + self.run
        })
    }
}

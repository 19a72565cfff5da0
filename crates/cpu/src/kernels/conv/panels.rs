//! Weights in the order in which convolutions read them.
//!
//! Outputs are cut into panels of some vectors; a panel has, for each float of a window, the weights
//! of its outputs side by side. The last panel has as many whole vectors as its outputs need, with
//! zeros where there is no output.

use std::sync::Arc;

use ferrotape_backend::{Error, Result};
use half::bf16;

use crate::cpu::Workspace;
use crate::kept::{Kept, Packing};

use crate::kernels::dispatch::Kernel;
use crate::kernels::real::Stored;
use crate::kernels::simd::{InMemory, LANES, Simd, read, write};

/// Which of a weight's two channel dimensions are a convolution's outputs: `[O, C, KH, KW]`, in
/// row-major order.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a, S> {
    data: &'a [S],
    kernel: [usize; 2],
    /// From one output's weight to the next's, and from one input's to the next's.
    steps: [usize; 2],
    /// Channels of outputs and inputs.
    pub(crate) channels: [usize; 2],
    /// Where their panels may be kept.
    kept: Option<(&'a Kept, Packing)>,
}

impl<'a, S: Stored> Weights<'a, S> {
    /// As the convolution has them.
    pub(crate) fn new(data: &'a [S], [o, c, kh, kw]: [usize; 4]) -> Self {
        let elements = kh * kw;
        let steps = [c * elements, elements];
        Weights { data, kernel: [kh, kw], steps, channels: [o, c], kept: None }
    }

    /// Those of a product with a matrix: `channels` are its columns and rows, each `steps` numbers apart.
    pub(crate) fn of_matrix(data: &'a [S], steps: [usize; 2], channels: [usize; 2]) -> Self {
        Weights { data, kernel: [1, 1], steps, channels, kept: None }
    }

    /// With a place for their panels beside the buffer that they lie in.
    pub(crate) fn kept_beside(self, kept: &'a Kept, packing: Packing) -> Self {
        Weights { kept: Some((kept, packing)), ..self }
    }

    /// Their panels, as they were kept or as `pack` makes them.
    ///
    /// # Errors
    /// Those of `pack`.
    pub(crate) fn panels(
        &self,
        pack: impl FnOnce() -> Result<Workspace<f32>>,
    ) -> Result<Arc<Workspace<f32>>> {
        match self.kept {
            Some((kept, packing)) => kept.panels(packing, pack),
            None => pack().map(Arc::new),
        }
    }

    /// As its gradient in the input has them: inputs and outputs change places.
    pub(crate) fn swapped(self) -> Self {
        let ([far, near], [o, c]) = (self.steps, self.channels);
        Weights { steps: [near, far], channels: [c, o], kept: None, ..self }
    }

    /// The weight of an output, an input and a kernel element.
    pub(crate) fn get(&self, output: usize, input: usize, [kh, kw]: [usize; 2]) -> f32 {
        let at = output * self.steps[0] + input * self.steps[1];
        self.data[at + kh * self.kernel[1] + kw].to_single()
    }
}

impl<'a> Weights<'a, bf16> {
    /// Pairs of inputs as words, where these lie side by side and begin with whole words.
    pub(crate) fn in_words(&self) -> Option<Weights<'a, f32>> {
        let ([output_step, input_step], [outputs, inputs]) = (self.steps, self.channels);
        let paired = self.kernel == [1, 1]
            && input_step == 1
            && output_step.is_multiple_of(2)
            && inputs.is_multiple_of(2);
        let whole = &self.data[..self.data.len() / 2 * 2];
        let data = bytemuck::try_cast_slice(whole).ok().filter(|_| paired)?;
        let (steps, channels) = ([output_step / 2, 1], [outputs, inputs / 2]);
        Some(Weights { data, kernel: self.kernel, steps, channels, kept: None })
    }
}

/// Floats of the packed weights of some outputs.
pub(crate) fn packed_len(taps: usize, outputs: usize) -> usize {
    taps * outputs.next_multiple_of(LANES)
}

/// Outputs of a panel, those without an output counted in.
pub(crate) fn panel_width(outputs: usize, first: usize, widest: usize) -> usize {
    (outputs - first).next_multiple_of(LANES).min(widest)
}

/// Writes the panel of the outputs from `first` on, for windows of these kernel elements, to
/// `panel`, whose length says how many outputs it has.
pub(crate) struct PackPanel<'a, T> {
    pub(crate) weights: &'a Weights<'a, T>,
    pub(crate) elements: &'a [[usize; 2]],
    pub(crate) first: usize,
    pub(crate) panel: &'a mut [f32],
}

impl<T: Stored + InMemory> Kernel for PackPanel<'_, T> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Result<()> {
        let PackPanel { weights, elements, first, panel } = self;
        let Weights { data, kernel, steps: [output_step, input_step], channels, .. } = *weights;
        let ([outputs, inputs], of_kernel) = (channels, kernel[0] * kernel[1]);
        let taps = elements.len() * inputs;
        if taps == 0 {
            return Ok(());
        }
        let width = panel.len() / taps;
        if !width.is_multiple_of(LANES) || first > outputs {
            return Err(Error::argument("a convolution's panel is not of whole vectors"));
        }
        let count = width.min(outputs - first);
        let from = first * output_step;
        let all_in_order = elements.len() == of_kernel
            && elements.iter().enumerate().all(|(i, &[kh, kw])| i == kh * kernel[1] + kw);
        if output_step == 1 && of_kernel == 1 {
            // The weights of an input lie side by side.
            for input in 0..inputs {
                let row = &data[from + input * input_step..][..count];
                for at in (0..width).step_by(LANES) {
                    let part = &row[at.min(count)..(at + LANES).min(count)];
                    write(simd, &mut panel[input * width + at..], read(simd, part));
                }
            }
        } else if input_step == of_kernel && all_in_order {
            // All weights of an output lie side by side: through the inputs, and through the kernel for each.
            for start in (0..taps).step_by(LANES) {
                let weights = LANES.min(taps - start);
                let places = places(start, inputs, of_kernel);
                for at in (0..width).step_by(LANES) {
                    let outputs = count.saturating_sub(at).min(LANES);
                    let from = &data[(from + at * output_step + start).min(data.len())..];
                    let vectors = columns(simd, from, output_step, [outputs, weights]);
                    for (tap, vector) in places.into_iter().zip(vectors).take(weights) {
                        write(simd, &mut panel[tap * width + at..], vector);
                    }
                }
            }
        } else if (2..=LANES).contains(&of_kernel) {
            // The kernel of an output and an input lies side by side.
            for input in 0..inputs {
                for at in (0..width).step_by(LANES) {
                    let outputs = count.saturating_sub(at).min(LANES);
                    let from = from + at * output_step + input * input_step;
                    let from = &data[from.min(data.len())..];
                    let vectors = columns(simd, from, output_step, [outputs, of_kernel]);
                    for (element, &[kh, kw]) in elements.iter().enumerate() {
                        let tap = element * inputs + input;
                        let vector = vectors[kh * kernel[1] + kw];
                        write(simd, &mut panel[tap * width + at..], vector);
                    }
                }
            }
        } else {
            for input in 0..inputs {
                for (element, &[kh, kw]) in elements.iter().enumerate() {
                    let from = from + input * input_step + kh * kernel[1] + kw;
                    let to = &mut panel[(element * inputs + input) * width..][..width];
                    let sources = data[from..].iter().step_by(output_step.max(1));
                    for (to, &from) in to[..count].iter_mut().zip(sources) {
                        *to = from.to_single();
                    }
                    to[count..].fill(0.0);
                }
            }
        }
        Ok(())
    }
}

/// Where a panel has the weights of an output from `start` on, which lie through the inputs, and through the
/// kernel for each.
#[inline(always)]
fn places(start: usize, inputs: usize, of_kernel: usize) -> [usize; LANES] {
    let (mut input, mut element) = (start / of_kernel, start % of_kernel);
    let mut places = [0; LANES];
    for place in &mut places {
        *place = element * inputs + input;
        element += 1;
        if element == of_kernel {
            (input, element) = (input + 1, 0);
        }
    }
    places
}

/// `count` vectors: number `i` of each of some rows, `step` numbers apart, is vector `i`.
#[inline(always)]
fn columns<S: Simd, T: InMemory>(
    simd: S,
    from: &[T],
    step: usize,
    [rows, count]: [usize; 2],
) -> [S::V; LANES] {
    let mut vectors = [simd.splat(0.0); LANES];
    for (row, vector) in vectors.iter_mut().enumerate().take(rows) {
        *vector = read(simd, &from[row * step..][..count]);
    }
    simd.transpose(vectors)
}

/// Writes a panel of gradients, laid out as [`PackPanel`] has weights, to the rows
/// `[outputs, C, KH, KW]` of its outputs: the sum of its `partials`, added in their order.
pub(crate) struct StorePanel<'a> {
    pub(crate) partials: &'a [&'a [f32]],
    pub(crate) inputs: usize,
    /// Elements of a kernel.
    pub(crate) elements: usize,
    pub(crate) rows: &'a mut [f32],
    /// As many floats as [`StorePanel::room`] says.
    pub(crate) room: &'a mut [f32],
}

impl StorePanel<'_> {
    /// The sums of [`LANES`] inputs.
    pub(crate) fn room(width: usize, elements: usize) -> usize {
        LANES * elements * width
    }
}

impl Kernel for StorePanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let StorePanel { partials, inputs, elements, rows, room } = self;
        let taps = elements * inputs;
        let Some(width) = partials.first().and_then(|panel| panel.len().checked_div(taps)) else {
            return;
        };
        for first in (0..inputs).step_by(LANES) {
            let count = LANES.min(inputs - first);
            for (element, sums) in room.chunks_exact_mut(LANES * width).take(elements).enumerate() {
                let from =
                    (element * inputs + first) * width..(element * inputs + first + count) * width;
                for at in (0..count * width).step_by(LANES) {
                    let mut sum = simd.splat(0.0);
                    for partial in partials {
                        sum = simd.add(sum, read(simd, &partial[from.clone()][at..]));
                    }
                    write(simd, &mut sums[at..], sum);
                }
            }
            let (from, len) = (first * elements, count * elements);
            for start in (0..len).step_by(LANES) {
                let weights = LANES.min(len - start);
                let places = places(start, LANES, elements);
                for (block, rows) in rows.chunks_mut(LANES * taps).enumerate() {
                    let mut vectors = [simd.splat(0.0); LANES];
                    for (vector, tap) in vectors.iter_mut().zip(places).take(weights) {
                        *vector = read(simd, &room[tap * width + block * LANES..]);
                    }
                    let vectors = simd.transpose(vectors);
                    for (row, vector) in rows.chunks_exact_mut(taps).zip(vectors) {
                        write(simd, &mut row[from + start..][..weights], vector);
                    }
                }
            }
        }
    }
}

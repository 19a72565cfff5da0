//! Weights in the order in which convolutions read them.
//!
//! Outputs are cut into panels of some vectors; a panel has, for each float of a window, the weights
//! of its outputs side by side. The last panel has as many whole vectors as its outputs need, with
//! zeros where there is no output.

use crate::kernels::real::Stored;
use crate::kernels::simd::LANES;

/// Which of a weight's two channel dimensions are a convolution's outputs: `[O, C, KH, KW]`, in
/// row-major order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weights<'a, S> {
    data: &'a [S],
    kernel: [usize; 2],
    /// From one output's weight to the next's, and from one input's to the next's.
    steps: [usize; 2],
    /// Channels of outputs and inputs.
    pub(crate) channels: [usize; 2],
}

impl<'a, S: Stored> Weights<'a, S> {
    /// As the convolution has them.
    pub(crate) fn new(data: &'a [S], [o, c, kh, kw]: [usize; 4]) -> Self {
        let elements = kh * kw;
        Weights { data, kernel: [kh, kw], steps: [c * elements, elements], channels: [o, c] }
    }

    /// Those of a product with a matrix: `channels` are its columns and rows, each `steps` numbers apart.
    pub(crate) fn of_matrix(data: &'a [S], steps: [usize; 2], channels: [usize; 2]) -> Self {
        Weights { data, kernel: [1, 1], steps, channels }
    }

    /// As its gradient in the input has them: inputs and outputs change places.
    pub(crate) fn swapped(self) -> Self {
        let ([far, near], [o, c]) = (self.steps, self.channels);
        Weights { steps: [near, far], channels: [c, o], ..self }
    }

    /// The weight of an output, an input and a kernel element.
    pub(crate) fn get(&self, output: usize, input: usize, [kh, kw]: [usize; 2]) -> f32 {
        let at = output * self.steps[0] + input * self.steps[1];
        self.data[at + kh * self.kernel[1] + kw].to_single()
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
pub(crate) fn pack_panel<S: Stored>(
    weights: &Weights<'_, S>,
    elements: &[[usize; 2]],
    first: usize,
    panel: &mut [f32],
) {
    let [outputs, inputs] = weights.channels;
    let taps = elements.len() * inputs;
    if taps == 0 {
        return;
    }
    let width = panel.len() / taps;
    let count = width.min(outputs - first);
    let [output_step, input_step] = weights.steps;
    if output_step > input_step {
        return pack_far(weights, elements, [first, count, width], panel);
    }
    for input in 0..inputs {
        for (element, &[kh, kw]) in elements.iter().enumerate() {
            let from = first * output_step + input * input_step + kh * weights.kernel[1] + kw;
            let to = &mut panel[(element * inputs + input) * width..][..width];
            let sources = weights.data[from..].iter().step_by(output_step);
            for (to, &from) in to[..count].iter_mut().zip(sources) {
                *to = from.to_single();
            }
            to[count..].fill(0.0);
        }
    }
}

/// [`pack_panel`] where an output's weights lie side by side and those of the next one far away: a few of them
/// at a time, so that what is read and what is written stays in the nearest cache meanwhile.
fn pack_far<S: Stored>(
    weights: &Weights<'_, S>,
    elements: &[[usize; 2]],
    [first, count, width]: [usize; 3],
    panel: &mut [f32],
) {
    let inputs = weights.channels[1];
    let [output_step, input_step] = weights.steps;
    for inputs_from in (0..inputs).step_by(BLOCK) {
        let block = inputs_from..(inputs_from + BLOCK).min(inputs);
        for (element, &[kh, kw]) in elements.iter().enumerate() {
            let start = (element * inputs + block.start) * width;
            let to = &mut panel[start..start + block.len() * width];
            let from = first * output_step + kh * weights.kernel[1] + kw;
            for output in 0..count {
                let from = &weights.data[from + output * output_step + block.start * input_step..];
                let from = from.iter().step_by(input_step.max(1));
                let to = to[output..].iter_mut().step_by(width);
                to.zip(from).for_each(|(to, &from)| *to = from.to_single());
            }
            to.chunks_exact_mut(width).for_each(|row| row[count..].fill(0.0));
        }
    }
}

/// How many weights of an output are moved at a time: a cache line of them.
const BLOCK: usize = 16;

/// Writes a panel of gradients, laid out as [`pack_panel`] has weights, to the rows
/// `[outputs, C, KH, KW]` of its outputs: the sum of its `partials`, added in their order.
pub(crate) fn store_panel(partials: &[&[f32]], inputs: usize, elements: usize, rows: &mut [f32]) {
    let taps = elements * inputs;
    let Some(width) = partials.first().and_then(|panel| panel.len().checked_div(taps)) else {
        return;
    };
    let mut sums = vec![0.0; BLOCK * width];
    for first in (0..taps).step_by(BLOCK) {
        let count = BLOCK.min(taps - first);
        for (weight, sums) in sums.chunks_exact_mut(width).take(count).enumerate() {
            let (input, element) = ((first + weight) / elements, (first + weight) % elements);
            let at = (element * inputs + input) * width;
            // A panel's sums for one float of the window lie side by side in each partial.
            sums.fill(0.0);
            for partial in partials {
                for (sum, &part) in sums.iter_mut().zip(&partial[at..][..width]) {
                    *sum += part;
                }
            }
        }
        for (output, row) in rows.chunks_exact_mut(taps).enumerate() {
            for (weight, to) in row[first..first + count].iter_mut().enumerate() {
                *to = sums[weight * width + output];
            }
        }
    }
}

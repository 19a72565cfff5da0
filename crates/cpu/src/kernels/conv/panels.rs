//! Weights in the order in which convolutions read them.
//!
//! Outputs are cut into panels of some vectors; a panel has, for each float of a window, the weights
//! of its outputs side by side. The last panel has as many whole vectors as its outputs need, with
//! zeros where there is no output.

use crate::kernels::simd::LANES;

/// Which of a weight's two channel dimensions are a convolution's outputs: `[O, C, KH, KW]`, in
/// row-major order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weights<'a> {
    data: &'a [f32],
    kernel: [usize; 2],
    /// From one output's weight to the next's, and from one input's to the next's.
    steps: [usize; 2],
    /// Channels of outputs and inputs.
    pub(crate) channels: [usize; 2],
}

impl<'a> Weights<'a> {
    /// As the convolution has them.
    pub(crate) fn new(data: &'a [f32], [o, c, kh, kw]: [usize; 4]) -> Self {
        let elements = kh * kw;
        Weights { data, kernel: [kh, kw], steps: [c * elements, elements], channels: [o, c] }
    }

    /// As its gradient in the input has them: inputs and outputs change places.
    pub(crate) fn swapped(self) -> Self {
        let ([far, near], [o, c]) = (self.steps, self.channels);
        Weights { steps: [near, far], channels: [c, o], ..self }
    }

    /// The weight of an output, an input and a kernel element.
    pub(crate) fn get(&self, output: usize, input: usize, [kh, kw]: [usize; 2]) -> f32 {
        let at = output * self.steps[0] + input * self.steps[1];
        self.data[at + kh * self.kernel[1] + kw]
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
pub(crate) fn pack_panel(
    weights: &Weights<'_>,
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
    for input in 0..inputs {
        for (element, &[kh, kw]) in elements.iter().enumerate() {
            let from = first * output_step + input * input_step + kh * weights.kernel[1] + kw;
            let to = &mut panel[(element * inputs + input) * width..][..width];
            let sources = weights.data[from..].iter().step_by(output_step);
            for (to, &from) in to[..count].iter_mut().zip(sources) {
                *to = from;
            }
            to[count..].fill(0.0);
        }
    }
}

/// Writes a panel of gradients, laid out as [`pack_panel`] has weights, to the rows
/// `[outputs, C, KH, KW]` of its outputs: the sum of its `partials`, added in their order.
pub(crate) fn store_panel(partials: &[&[f32]], inputs: usize, elements: usize, rows: &mut [f32]) {
    let taps = elements * inputs;
    let Some(width) = partials.first().and_then(|panel| panel.len().checked_div(taps)) else {
        return;
    };
    let outputs = rows.len() / taps;
    for input in 0..inputs {
        for element in 0..elements {
            let at = (element * inputs + input) * width;
            let to = rows[input * elements + element..].iter_mut().step_by(taps);
            for (output, to) in to.take(outputs).enumerate() {
                *to = partials.iter().map(|panel| panel[at + output]).sum();
            }
        }
    }
}

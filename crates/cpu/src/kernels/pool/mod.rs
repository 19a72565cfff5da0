//! Pooled rows of channels-last images: loops over windows outside, over channels inside.

mod average;
mod max;

pub(crate) use average::{AverageGradRow, AverageRow};
pub(crate) use max::{MaxGradRow, MaxRow};

use ferrotape_backend::Pool2d;

/// Where windows lie along one axis.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// Of each output: the first input position in its window, and how many there are.
    pub(crate) windows: Vec<(usize, usize)>,
    /// From one position of a window to the next.
    pub(crate) dilation: usize,
    /// Of each output: what a sum over its window is divided by.
    pub(crate) divisors: Vec<usize>,
    /// Of each input: the first output whose window holds it, and how many do; without dilation.
    pub(crate) covering: Vec<(usize, usize)>,
    /// The number of positions in each window if windows follow each other without gaps, overlaps
    /// and padding, and nothing is left over.
    pub(crate) tiles: Option<usize>,
}

impl Axis {
    /// Axis 0 or 1 of a pooling of `size` positions to `count`.
    pub(crate) fn new(params: &Pool2d, axis: usize, size: usize, count: usize) -> Self {
        let (kernel, stride) = (params.kernel[axis], params.stride[axis]);
        let (padding, dilation) = (params.padding[axis], params.dilation[axis]);
        let window = |index: usize| {
            // Positions are counted in the padded input, so that none is negative.
            let start = index * stride;
            let skipped = padding.saturating_sub(start).div_ceil(dilation).min(kernel);
            let first = start + skipped * dilation;
            let left = (size + padding).saturating_sub(first).div_ceil(dilation);
            (first.saturating_sub(padding), left.min(kernel - skipped))
        };
        let covering = |index: usize| {
            let at = index + padding;
            let first = (at + 1).saturating_sub(kernel).div_ceil(stride);
            (first, (at / stride + 1).min(count).saturating_sub(first))
        };
        let whole = kernel == stride && padding == 0 && dilation == 1 && count * kernel == size;
        Axis {
            windows: (0..count).map(window).collect(),
            dilation,
            divisors: (0..count).map(|index| params.divisor(axis, index, size)).collect(),
            covering: (0..size).map(covering).collect(),
            tiles: whole.then_some(kernel),
        }
    }
}

/// Runs `$body` with `$C` as the number of channels where that is a small common one, so that its
/// loops are unrolled, or with 0.
macro_rules! with_channels {
    ($channels:expr, $C:ident => $body:expr) => {
        match $channels {
            1 => with_channels!(@ 1, $C, $body),
            2 => with_channels!(@ 2, $C, $body),
            3 => with_channels!(@ 3, $C, $body),
            4 => with_channels!(@ 4, $C, $body),
            6 => with_channels!(@ 6, $C, $body),
            8 => with_channels!(@ 8, $C, $body),
            16 => with_channels!(@ 16, $C, $body),
            _ => with_channels!(@ 0, $C, $body),
        }
    };
    (@ $count:literal, $C:ident, $body:expr) => {{
        const $C: usize = $count;
        $body
    }};
}
use with_channels;

//! Convolutions over channels-last images.

pub(crate) mod columns;
pub(crate) mod ending;
pub(crate) mod factor;
pub(crate) mod forward;
pub(crate) mod input_grad;
pub(crate) mod outputs;
pub(crate) mod panels;
pub(crate) mod weight_grad;
pub(crate) mod windows;
pub(crate) mod winograd;

use ferrotape_backend::check::ConvShapes;
use ferrotape_backend::{Conv2d, Layout};

/// The sizes of a convolution, and how its images lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    /// Images.
    pub(crate) n: usize,
    /// Input height and width.
    pub(crate) size: [usize; 2],
    /// Output height and width.
    pub(crate) out: [usize; 2],
    /// Kernel height and width.
    pub(crate) kernel: [usize; 2],
    /// Stride, padding, dilation and groups.
    pub(crate) params: Conv2d,
    /// Input channels of a group.
    pub(crate) inputs: usize,
    /// Output channels of a group.
    pub(crate) outputs: usize,
    /// Elements from one input pixel to the next.
    pub(crate) x_pitch: usize,
    /// Elements from one output pixel to the next.
    pub(crate) y_pitch: usize,
}

impl Geometry {
    /// For operands that passed their check and are in channels-last format.
    pub(crate) fn new(shapes: &ConvShapes, params: &Conv2d, x: &Layout, y: &Layout) -> Self {
        let [n, c, h, w] = shapes.x;
        let [_, o, oh, ow] = shapes.y;
        Geometry {
            n,
            size: [h, w],
            out: [oh, ow],
            kernel: [shapes.w[2], shapes.w[3]],
            params: *params,
            inputs: shapes.w[1],
            outputs: o / params.groups,
            x_pitch: x.pixel_pitch().unwrap_or(c),
            y_pitch: y.pixel_pitch().unwrap_or(o),
        }
    }

    /// Elements of a kernel for one output channel: the length of a column of the weight matrix.
    pub(crate) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.inputs
    }

    /// Output pixels of all images.
    pub(crate) fn pixels(&self) -> usize {
        self.n * self.out[0] * self.out[1]
    }

    /// Multiply-adds in all.
    pub(crate) fn products(&self) -> usize {
        let channels = self.outputs.saturating_mul(self.params.groups);
        self.pixels().saturating_mul(channels).saturating_mul(self.taps())
    }

    /// Whether an image with everything that windows reach over, and all steps within it, can be
    /// counted and laid out: paddings, strides and dilations may be any numbers.
    pub(crate) fn is_bounded(&self) -> bool {
        const MOST_FLOATS: usize = 1 << 31;
        let params = &self.params;
        let extent = |axis: usize| {
            let reach = self.kernel[axis].saturating_sub(1).saturating_mul(params.dilation[axis]);
            [2, params.stride[axis], self.size[axis], self.out[axis]]
                .into_iter()
                .fold(params.padding[axis].saturating_mul(2), usize::saturating_add)
                .saturating_add(reach)
        };
        let pitch = self.x_pitch.max(self.y_pitch).max(self.inputs).max(self.outputs);
        extent(0).saturating_mul(extent(1)).saturating_mul(pitch) <= MOST_FLOATS
    }

    /// The same convolution of a single row of pixels, where each is by itself.
    pub(crate) fn flat(mut self) -> Self {
        if self.is_pointwise() {
            let pixels = self.pixels();
            (self.n, self.size, self.out) = (1, [1, pixels], [1, pixels]);
        }
        self
    }

    /// The same with the channels of its input counted in words of so many numbers.
    pub(crate) fn with_input_words(self, numbers: usize) -> Self {
        Geometry { inputs: self.inputs / numbers, x_pitch: self.x_pitch / numbers, ..self }
    }

    /// The same with the channels of its output counted in words of so many numbers.
    pub(crate) fn with_output_words(self, numbers: usize) -> Self {
        Geometry { outputs: self.outputs / numbers, y_pitch: self.y_pitch / numbers, ..self }
    }

    /// The same with so many neighbouring output pixels of a row taken as one.
    pub(crate) fn with_pixels_together(mut self, numbers: usize) -> Self {
        self.out[1] = self.out[1].div_ceil(numbers);
        self.params.stride[1] *= numbers;
        self
    }

    /// Whether an output pixel sees just the input pixel at its own place.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.params.stride == [1, 1] && self.params.padding == [0, 0]
    }
}

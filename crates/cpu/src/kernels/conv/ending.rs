//! What becomes of the sums of a convolution while they are in registers.

use crate::kernels::simd::{InMemory, Simd};

/// `relu(sum + bias + residual)`, each part if it is there, and rounded once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending<'a, T> {
    /// Of each channel.
    bias: Option<&'a [f32]>,
    /// From the first channel of the first pixel on.
    residual: Option<&'a [T]>,
    /// Numbers from one pixel of the residual to the next.
    pitch: usize,
    /// Pixels from one row to the next.
    width: usize,
    /// Whether sums below 0 become 0; a NaN stays one.
    relu: bool,
}

impl<'a, T: InMemory> Ending<'a, T> {
    /// The sums themselves.
    pub(crate) const NONE: Self =
        Ending { bias: None, residual: None, pitch: 0, width: 0, relu: false };

    /// With a bias.
    pub(crate) fn new(bias: Option<&'a [f32]>) -> Self {
        Ending { bias, ..Self::NONE }
    }

    /// With a residual of rows of `width` pixels, `pitch` numbers apart.
    pub(crate) fn plus(self, residual: &'a [T], [width, pitch]: [usize; 2]) -> Self {
        Ending { residual: Some(residual), width, pitch, ..self }
    }

    /// Cut off at 0, if so.
    pub(crate) fn cut_off(self, relu: bool) -> Self {
        Ending { relu, ..self }
    }

    /// The same of images that begin with this pixel, counted through rows and images, and this channel.
    pub(crate) fn starting_at(self, pixel: usize, channel: usize) -> Self {
        let start = pixel * self.pitch + channel;
        Ending {
            bias: self.bias.map(|bias| bias.get(channel..).unwrap_or(&[])),
            residual: self.residual.map(|data| data.get(start..).unwrap_or(&[])),
            ..self
        }
    }

    /// The number of a pixel in a row.
    #[inline(always)]
    pub(crate) fn pixel(&self, row: usize, pixel: usize) -> usize {
        row * self.width + pixel
    }

    /// Whether there is all that is read for so many channels of pixels up to number `last`.
    pub(crate) fn reaches(&self, last: usize, channels: usize) -> bool {
        self.bias.is_none_or(|bias| channels <= bias.len())
            && self.residual.is_none_or(|data| last * self.pitch + channels <= data.len())
    }

    /// The bias of `count` channels, or zeros.
    ///
    /// # Safety
    /// [`Ending::reaches`] `channel + count` channels.
    #[inline(always)]
    pub(crate) unsafe fn bias<S: Simd>(&self, simd: S, channel: usize, count: usize) -> S::V {
        match self.bias {
            // SAFETY: the caller's.
            Some(bias) => unsafe { f32::load(simd, bias.as_ptr().add(channel), count) },
            None => simd.splat(0.0),
        }
    }

    /// What becomes of the sums of `count` channels of a pixel, to which the bias was added.
    ///
    /// # Safety
    /// [`Ending::reaches`] this pixel and `channel + count` channels.
    #[inline(always)]
    pub(crate) unsafe fn of<S: Simd>(
        &self,
        simd: S,
        sum: S::V,
        [pixel, channel]: [usize; 2],
        count: usize,
    ) -> S::V {
        let mut sum = sum;
        if let Some(data) = self.residual {
            // SAFETY: the caller's.
            let residual =
                unsafe { T::load(simd, data.as_ptr().add(pixel * self.pitch + channel), count) };
            sum = simd.add(sum, residual);
        }
        if self.relu { simd.relu(sum) } else { sum }
    }
}

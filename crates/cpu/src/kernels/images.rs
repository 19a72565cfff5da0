//! Images in channels-last format.

use ferrotape_backend::{Element, Error, Result};

use crate::memory::In;

/// Pixels in the order of memory, each with its channels.
#[derive(Debug)]
pub(crate) struct Pixels<'a, S> {
    data: &'a [S],
    /// How many there are.
    pub(crate) rows: usize,
    /// Channels of each.
    pub(crate) channels: usize,
    /// Elements from one to the next.
    pub(crate) pitch: usize,
}

impl<S> Clone for Pixels<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Pixels<'_, S> {}

impl<'a, S: Element> Pixels<'a, S> {
    /// The pixels of an operand that is in channels-last format.
    pub(crate) fn new(operand: In<'a>) -> Result<Self> {
        let [n, channels, h, w] = operand.layout.shape().nchw()?;
        let pitch = operand
            .layout
            .pixel_pitch()
            .ok_or_else(|| Error::argument("an image came to its kernel in another format"))?;
        Ok(Pixels { data: operand.span()?, rows: n * h * w, channels, pitch })
    }

    /// Whether no gaps are between the pixels.
    pub(crate) fn is_dense(&self) -> bool {
        self.pitch == self.channels
    }

    /// The rows `start..start + count` cut into wide rows: the first of each, and how many fill `wide` elements,
    /// which exceeds the channels only where the pixels are dense.
    #[inline(always)]
    pub(crate) fn wide_rows(
        &self,
        start: usize,
        count: usize,
        wide: usize,
    ) -> impl Iterator<Item = (usize, usize)> {
        let (end, fold) = (start + count, (wide / self.channels.max(1)).max(1));
        (start..end).step_by(fold).map(move |row| (row, fold.min(end - row)))
    }

    /// The channels of `count` rows from `row` on; of several only where the pixels are dense.
    #[inline(always)]
    pub(crate) fn rows(&self, row: usize, count: usize) -> &'a [S] {
        &self.data[row * self.pitch..][..count * self.channels]
    }
}

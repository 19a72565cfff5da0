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

    /// Calls `f` for rows `start..start + count`, as many at a time as fill `wide` elements; `wide`
    /// exceeds the channels only where the pixels are dense.
    #[inline(always)]
    pub(crate) fn for_rows(
        &self,
        start: usize,
        count: usize,
        wide: usize,
        mut f: impl FnMut(&[S]),
    ) {
        if self.is_dense() {
            let data = &self.data[start * self.channels..(start + count) * self.channels];
            data.chunks(wide.max(1)).for_each(f);
        } else {
            for row in start..start + count {
                f(&self.data[row * self.pitch..][..self.channels]);
            }
        }
    }

    /// As [`Pixels::for_rows`], for the same rows of two.
    #[inline(always)]
    pub(crate) fn for_row_pairs(
        a: Self,
        b: Self,
        start: usize,
        count: usize,
        wide: usize,
        mut f: impl FnMut(&[S], &[S]),
    ) {
        if a.is_dense() && b.is_dense() {
            let range = start * a.channels..(start + count) * a.channels;
            let pairs =
                a.data[range.clone()].chunks(wide.max(1)).zip(b.data[range].chunks(wide.max(1)));
            pairs.for_each(|(a, b)| f(a, b));
        } else {
            for row in start..start + count {
                let at = |x: &Self| row * x.pitch..row * x.pitch + x.channels;
                f(&a.data[at(&a)], &b.data[at(&b)]);
            }
        }
    }

    /// As [`Pixels::for_rows`], for the same rows of three.
    #[inline(always)]
    pub(crate) fn for_row_triples(
        [a, b, c]: [Self; 3],
        start: usize,
        count: usize,
        wide: usize,
        mut f: impl FnMut(&[S], &[S], &[S]),
    ) {
        if a.is_dense() && b.is_dense() && c.is_dense() {
            let range = start * a.channels..(start + count) * a.channels;
            let rows = |x: Self| x.data[range.clone()].chunks(wide.max(1));
            rows(a).zip(rows(b)).zip(rows(c)).for_each(|((a, b), c)| f(a, b, c));
        } else {
            for row in start..start + count {
                let at = |x: &Self| row * x.pitch..row * x.pitch + x.channels;
                f(&a.data[at(&a)], &b.data[at(&b)], &c.data[at(&c)]);
            }
        }
    }
}

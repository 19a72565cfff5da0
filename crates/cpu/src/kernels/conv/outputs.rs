//! The images that a convolution writes, cut into blocks.

use std::marker::PhantomData;

use ferrotape_backend::{Error, Result};

use crate::kernels::split::Parts;

/// Channels-last images, cut into blocks: groups of channels, then images, then rows, then pixels of
/// a row.
pub(crate) struct Outputs<'a, T> {
    start: *mut T,
    /// Images, rows, pixels of a row, channels.
    sizes: [usize; 4],
    /// Numbers from one pixel to the next.
    pitch: usize,
    /// Rows, pixels and channels of a block.
    block: [usize; 3],
    owner: PhantomData<&'a mut [T]>,
}

// SAFETY: sharing `Outputs` gives every thread only blocks that no other has.
unsafe impl<T: Send> Sync for Outputs<'_, T> {}

impl<'a, T> Outputs<'a, T> {
    /// Cuts images `[n, h, w, channels]` with pixels `pitch` numbers apart.
    pub(crate) fn new(
        data: &'a mut [T],
        sizes: [usize; 4],
        pitch: usize,
        block: [usize; 3],
    ) -> Result<Self> {
        let [n, h, w, channels] = sizes;
        let pixels = n * h * w;
        let fits = pixels == 0
            || channels == 0
            || (channels <= pitch && (pixels - 1) * pitch + channels <= data.len());
        if !fits {
            return Err(Error::argument("a convolution's result reaches past its memory"));
        }
        let block = block.map(|size| size.max(1));
        Ok(Outputs { start: data.as_mut_ptr(), sizes, pitch, block, owner: PhantomData })
    }

    /// Blocks along rows, pixels and channels.
    fn grid(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.sizes[axis + 1].div_ceil(self.block[axis]))
    }

    /// Where block `index` lies.
    pub(crate) fn place(&self, index: usize) -> Place {
        let [down, across, _] = self.grid().map(|count| count.max(1));
        let images = self.sizes[0].max(1);
        let (row, pixel) = (index / across % down, index % across);
        let (image, group) = (index / (across * down) % images, index / (across * down * images));
        let cut = |number: usize, axis: usize| {
            let start = number * self.block[axis];
            [start, self.block[axis].min(self.sizes[axis + 1] - start)]
        };
        Place { image, rows: cut(row, 0), pixels: cut(pixel, 1), channels: cut(group, 2) }
    }
}

/// The place of a block: where it begins along each axis, and how long it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Number of the image.
    pub(crate) image: usize,
    /// Rows.
    pub(crate) rows: [usize; 2],
    /// Pixels of each row.
    pub(crate) pixels: [usize; 2],
    /// Channels.
    pub(crate) channels: [usize; 2],
}

// SAFETY: blocks of different numbers are disjoint ranges of pixels or of channels, and pixels do
// not overlap, because `new` saw to it that their pitch is no less than their channels.
unsafe impl<'a, T: Send> Parts for Outputs<'a, T> {
    type Part = Block<'a, T>;

    fn count(&self) -> usize {
        self.sizes[0] * self.grid().iter().product::<usize>()
    }

    unsafe fn part(&self, index: usize) -> Block<'a, T> {
        let place = self.place(index);
        let [_, h, w, _] = self.sizes;
        let pixel = (place.image * h + place.rows[0]) * w + place.pixels[0];
        Block {
            // SAFETY: a block that exists has a first element, which `new` saw lies in the memory.
            start: unsafe { self.start.add(pixel * self.pitch + place.channels[0]) },
            size: [place.rows[1], place.pixels[1]],
            steps: [w * self.pitch, self.pitch],
            channels: place.channels[1],
            owner: PhantomData,
        }
    }
}

/// Some channels of pixels at equal distances.
pub(crate) struct Block<'a, T> {
    /// The first channel of the first pixel; every channel of every pixel may be written.
    pub(super) start: *mut T,
    /// Rows, and pixels of a row.
    pub(super) size: [usize; 2],
    /// Numbers from one row to the next, and from one pixel to the next.
    pub(super) steps: [usize; 2],
    /// Channels of a pixel.
    pub(super) channels: usize,
    owner: PhantomData<&'a mut [T]>,
}

impl<'a, T> Block<'a, T> {
    /// A row of pixels without gaps.
    pub(crate) fn row(data: &'a mut [T], pixels: usize, channels: usize) -> Result<Self> {
        if pixels.saturating_mul(channels) > data.len() {
            return Err(Error::argument("a convolution's result reaches past its memory"));
        }
        let (start, size, steps) = (data.as_mut_ptr(), [1, pixels], [0, channels]);
        Ok(Block { start, size, steps, channels, owner: PhantomData })
    }

    /// Every `stride`-th row and pixel, from `phase` on.
    pub(crate) fn phase(&mut self, phase: [usize; 2], stride: [usize; 2]) -> Block<'_, T> {
        let size =
            [0, 1].map(|axis| self.size[axis].saturating_sub(phase[axis]).div_ceil(stride[axis]));
        let first = phase[0] * self.steps[0] + phase[1] * self.steps[1];
        Block {
            // Not `add`, because a block without pixels may begin past the end.
            start: self.start.wrapping_add(first),
            size,
            steps: [0, 1].map(|axis| self.steps[axis] * stride[axis]),
            channels: self.channels,
            owner: PhantomData,
        }
    }
}

//! What convolutions multiply: floats, or pairs of bf16.
//!
//! Kernels, frames and windows know *words* of the size of a float, which they move as they are. A word is a
//! float, or two bf16 of which the first lies first; the instructions that multiply words know which.

use ferrotape_backend::{Error, Result};
use half::bf16;

use super::forward::{self, Forward};
use super::panels::{PackPanel, Weights};
use super::weight_grad::{self, Gradients, Order, PackTiles, WeightGrad};
use super::windows::{CopyPairs, Frame};
use crate::Cpu;
use crate::kernels::dispatch::{Available, Kernel, Pairs};
use crate::kernels::fetch::fetch_ahead;
use crate::kernels::real::Stored;
use crate::kernels::simd::{InMemory, LANES, Simd, read, write};
use crate::kernels::tiles::{Amx, SIDE};

/// Neighbouring pixels that fill whole tiles of vectors, those of 14 and of 6.
const WHOLE_TILES: usize = 42;

/// A type whose words can be multiplied.
pub(crate) trait Factor: Stored {
    /// Numbers of a word.
    const IN_WORD: usize;

    /// The proof that this machine multiplies them.
    type Level: Copy + Send + Sync;

    /// Computes a block of outputs.
    ///
    /// # Errors
    /// Those of [`Forward`].
    fn forward<T: InMemory>(level: Self::Level, kernel: Forward<'_, T>) -> Result<()>;

    /// Adds to a gradient of a weight.
    ///
    /// # Errors
    /// Those of [`WeightGrad`].
    fn weight_grad(level: Self::Level, kernel: WeightGrad<'_>) -> Result<()>;

    /// Neighbouring pixels that fill whole tiles.
    fn whole_tiles(_: Self::Level) -> usize {
        WHOLE_TILES
    }

    /// How many times as many pixels as else pass by before their sums in registers are added to those in memory,
    /// where a row of them is so many words: that takes long where sums have to be turned for it.
    fn longer_bands(_: Self::Level, _words: usize) -> usize {
        1
    }

    /// The numbers as words.
    ///
    /// # Errors
    /// They do not begin or end with a whole word.
    fn words(numbers: &[Self]) -> Result<&[f32]>;

    /// As [`PackPanel`], in words: those of neighbouring inputs become one.
    ///
    /// # Errors
    /// Out of memory.
    fn pack_panel(
        cpu: &Cpu,
        level: Self::Level,
        weights: &Weights<'_, Self>,
        elements: &[[usize; 2]],
        first: usize,
        panel: &mut [f32],
    ) -> Result<()>;

    /// Copies rows of a frame from row `first` on, whose pixels are to be multiplied together with the next one
    /// that an output sees, `shift` pixels on, into words.
    fn copy_pixels(
        level: Self::Level,
        frame: &Frame,
        image: &[Self],
        first: usize,
        shift: usize,
        band: &mut [f32],
    );

    /// Channels of pixels as words, panel by panel.
    fn pack_pixels<'a>(
        level: Self::Level,
        rows: Rows<'_, Self>,
        panel: usize,
        room: &'a mut [f32],
    ) -> Gradients<'a>;

    /// Channels of gradients as words, in the order that suits this level.
    fn pack_gradients<'a>(
        level: Self::Level,
        rows: Rows<'_, Self>,
        panel: usize,
        room: &'a mut [f32],
    ) -> Gradients<'a> {
        Self::pack_pixels(level, rows, panel, room)
    }
}

/// Channels of rows of pixels that follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    /// From the first channel of the first pixel on.
    pub(crate) data: &'a [T],
    /// Numbers from one pixel to the next.
    pub(crate) pitch: usize,
    /// Rows, and pixels of a row.
    pub(crate) size: [usize; 2],
    /// Channels in all.
    pub(crate) channels: usize,
}

impl Factor for f32 {
    const IN_WORD: usize = 1;

    type Level = Available;

    #[inline]
    fn forward<T: InMemory>(level: Available, kernel: Forward<'_, T>) -> Result<()> {
        level.run_kernel(kernel)
    }

    #[inline]
    fn weight_grad(level: Available, kernel: WeightGrad<'_>) -> Result<()> {
        level.run_kernel(kernel)
    }

    fn words(numbers: &[f32]) -> Result<&[f32]> {
        Ok(numbers)
    }

    fn pack_panel(
        _: &Cpu,
        level: Available,
        weights: &Weights<'_, f32>,
        elements: &[[usize; 2]],
        first: usize,
        panel: &mut [f32],
    ) -> Result<()> {
        level.run_kernel(PackPanel { weights, elements, first, panel })
    }

    fn copy_pixels(
        _: Available,
        frame: &Frame,
        image: &[f32],
        first: usize,
        _: usize,
        band: &mut [f32],
    ) {
        frame.copy(image, first, band);
    }

    fn pack_pixels<'a>(
        level: Available,
        rows: Rows<'_, f32>,
        panel: usize,
        room: &'a mut [f32],
    ) -> Gradients<'a> {
        let (pixels, channels) = (rows.size[0] * rows.size[1], rows.channels);
        level.run_kernel(PackSingles { rows, panel, room });
        let order = Order::Panels { pitch: panel, step: pixels * panel };
        Gradients { data: room, order, channels }
    }
}

/// Channels of pixels panel by panel.
struct PackSingles<'a> {
    rows: Rows<'a, f32>,
    panel: usize,
    room: &'a mut [f32],
}

impl Kernel for PackSingles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let PackSingles { rows: Rows { data, pitch, size, channels }, panel, room } = self;
        let step = size[0] * size[1] * panel;
        // Pixel by pixel, so that what is read comes in the order of memory.
        for pixel in 0..size[0] * size[1] {
            let from = &data[pixel * pitch..][..channels];
            fetch_ahead(from);
            for at in (0..channels).step_by(LANES) {
                let to = at / panel * step + pixel * panel + at % panel;
                write(simd, &mut room[to..to + LANES], read(simd, &from[at..]));
            }
        }
    }
}

/// The same of bf16: those of two pixels of a row become words; a row of odd length ends with a pair whose second
/// number is none.
struct PackPairs<'a> {
    rows: Rows<'a, bf16>,
    panel: usize,
    room: &'a mut [f32],
}

impl Kernel for PackPairs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let PackPairs { rows: Rows { data, pitch, size: [rows, pixels], channels }, panel, room } =
            self;
        let across = pixels.div_ceil(2);
        let step = rows * across * panel;
        for (row, pair) in (0..rows).flat_map(|row| (0..across).map(move |pair| (row, pair))) {
            let from = (row * pixels + 2 * pair) * pitch;
            let near = &data[from..][..channels];
            let is_alone = 2 * pair + 1 == pixels;
            let far = if is_alone { &[] } else { &data[from + pitch..][..channels] };
            fetch_ahead(near);
            fetch_ahead(far);
            for at in (0..channels).step_by(LANES) {
                let second = read(simd, &far[at.min(far.len())..]);
                let word = simd.pair(read(simd, &near[at..]), second);
                let to = at / panel * step + (row * across + pair) * panel + at % panel;
                write(simd, &mut room[to..to + LANES], word);
            }
        }
    }
}

/// Rows of floats that are bf16, `width` each, as rows of words: two rows become one.
struct FoldRows<'a> {
    floats: &'a [f32],
    width: usize,
    words: &'a mut [f32],
}

impl Kernel for FoldRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let FoldRows { floats, width, words } = self;
        let pairs = floats.chunks_exact((2 * width).max(1));
        for (to, rows) in words.chunks_exact_mut(width.max(1)).zip(pairs) {
            let (first, second) = rows.split_at(width);
            for at in (0..width).step_by(LANES) {
                let [first, second] = [read(simd, &first[at..]), read(simd, &second[at..])];
                write(simd, &mut to[at..], simd.pair(first, second));
            }
        }
    }
}

impl Factor for bf16 {
    const IN_WORD: usize = 2;

    type Level = Pairs;

    #[inline]
    fn forward<T: InMemory>(level: Pairs, forward: Forward<'_, T>) -> Result<()> {
        match level.tiles().filter(|_| forward::InTiles::<T, Amx>::suits(&forward)) {
            Some(tiles) => level.run_kernel(forward::InTiles { forward, tiles }),
            None => level.run_kernel(forward),
        }
    }

    #[inline]
    fn weight_grad(level: Pairs, gradient: WeightGrad<'_>) -> Result<()> {
        match level.tiles().filter(|_| gradient.gy.order == Order::Tiles) {
            Some(tiles) => level.run_kernel(weight_grad::InTiles { gradient, tiles }),
            None => level.run_kernel(gradient),
        }
    }

    fn whole_tiles(level: Pairs) -> usize {
        if level.tiles().is_some() { 2 * SIDE } else { WHOLE_TILES }
    }

    fn longer_bands(level: Pairs, words: usize) -> usize {
        if level.tiles().is_some() && PackTiles::fills(words) { 2 } else { 1 }
    }

    fn words(numbers: &[bf16]) -> Result<&[f32]> {
        if numbers.is_empty() {
            // Wherever they are said to be.
            return Ok(&[]);
        }
        bytemuck::try_cast_slice(numbers)
            .map_err(|_| Error::argument("images of bf16 came to their kernel at half a word"))
    }

    fn pack_panel(
        cpu: &Cpu,
        level: Pairs,
        weights: &Weights<'_, bf16>,
        elements: &[[usize; 2]],
        first: usize,
        panel: &mut [f32],
    ) -> Result<()> {
        if let Some(weights) = &weights.in_words() {
            return level.run_kernel(PackPanel { weights, elements, first, panel });
        }
        let mut floats = cpu.workspace::<f32>(panel.len() * Self::IN_WORD)?;
        let floats = floats.as_mut_slice();
        let width = floats.len() / (elements.len() * weights.channels[1]).max(1);
        level.run_kernel(PackPanel { weights, elements, first, panel: floats })?;
        level.run_kernel(FoldRows { floats, width, words: panel });
        Ok(())
    }

    fn copy_pixels(
        level: Pairs,
        frame: &Frame,
        image: &[bf16],
        first: usize,
        shift: usize,
        band: &mut [f32],
    ) {
        level.run_kernel(CopyPairs { frame, image, first, shift, band });
    }

    fn pack_pixels<'a>(
        level: Pairs,
        rows: Rows<'_, bf16>,
        panel: usize,
        room: &'a mut [f32],
    ) -> Gradients<'a> {
        let (pairs, channels) = (rows.size[0] * rows.size[1].div_ceil(2), rows.channels);
        level.run_kernel(PackPairs { rows, panel, room });
        let order = Order::Panels { pitch: panel, step: pairs * panel };
        Gradients { data: room, order, channels }
    }

    fn pack_gradients<'a>(
        level: Pairs,
        rows: Rows<'_, bf16>,
        panel: usize,
        room: &'a mut [f32],
    ) -> Gradients<'a> {
        match level.tiles().filter(|_| PackTiles::suits(&rows)) {
            Some(_) => level.run_kernel(PackTiles { rows, room }),
            None => Self::pack_pixels(level, rows, panel, room),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::Plain;

    fn halves(numbers: impl IntoIterator<Item = f32>) -> Vec<bf16> {
        numbers.into_iter().map(bf16::from_f32).collect()
    }

    fn parts(words: &[f32]) -> Vec<[f32; 2]> {
        let part = |bits: u32| bf16::from_bits(bits as u16).to_f32();
        words.iter().map(|word| [part(word.to_bits()), part(word.to_bits() >> 16)]).collect()
    }

    #[test]
    fn neighbours_in_memory_are_a_word() {
        let numbers = halves([1.0, 2.0, -3.0, 0.5]);
        // The allocator of the test gives no more than the alignment of a number.
        if let Ok(words) = bf16::words(&numbers) {
            assert_eq!(parts(words), [[1.0, 2.0], [-3.0, 0.5]]);
        }
        assert!(bf16::words(&numbers[1..]).is_err());
        // Of no numbers there is no half of a word, at even and at odd places.
        assert!(bf16::words(&numbers[..0]).is_ok() && bf16::words(&numbers[1..1]).is_ok());
    }

    #[test]
    fn two_rows_become_one_of_words() {
        let mut words = [0.0; 4];
        let floats = &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        FoldRows { floats, width: 2, words: &mut words }.run(Plain);
        assert_eq!(parts(&words), [[1.0, 3.0], [2.0, 4.0], [5.0, 7.0], [6.0, 8.0]]);
    }

    #[test]
    fn gradients_of_neighbouring_pixels_are_a_word_and_the_last_of_a_row_may_be_alone() {
        // Two rows of three pixels with 18 channels, 20 numbers apart; panels of one vector.
        let data = halves((0..120).map(|i| i as f32));
        let rows = Rows { data: &data, pitch: 20, size: [2, 3], channels: 18 };
        let mut room = [f32::NAN; 2 * 4 * LANES];
        PackPairs { rows, panel: LANES, room: &mut room }.run(Plain);
        for (at, words) in room.chunks_exact(LANES).enumerate() {
            let (panel, row, pair) = (at / 4, at / 2 % 2, at % 2);
            for (lane, found) in parts(words).into_iter().enumerate() {
                let number = |pixel: usize| {
                    let channel = panel * LANES + lane;
                    let is_there = pixel < 3 && channel < 18;
                    if is_there { ((row * 3 + pixel) * 20 + channel) as f32 } else { 0.0 }
                };
                assert_eq!(found, [number(2 * pair), number(2 * pair + 1)], "{at} {lane}");
            }
        }
    }
}

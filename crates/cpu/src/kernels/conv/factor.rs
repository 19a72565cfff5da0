//! What convolutions multiply: floats, or pairs of bf16.
//!
//! Kernels, frames and windows know *words* of the size of a float, which they move as they are. A word is a
//! float, or two bf16 of which the first lies first; the instructions that multiply words know which.

use ferrotape_backend::{Error, Result};
use half::bf16;

use super::panels::{Weights, pack_panel};
use super::weight_grad::Gradients;
use super::windows::Frame;
use crate::Cpu;
use crate::kernels::dispatch::{Available, Kernel, Pairs};
use crate::kernels::real::Stored;

/// A type whose words can be multiplied.
pub(crate) trait Factor: Stored {
    /// Numbers of a word.
    const IN_WORD: usize;

    /// The proof that this machine multiplies them.
    type Level: Copy + Send + Sync;

    /// Runs a kernel with the instructions for these words.
    fn run<K: Kernel>(level: Self::Level, kernel: K) -> K::Output;

    /// The numbers as words.
    ///
    /// # Errors
    /// They do not begin or end with a whole word.
    fn words(numbers: &[Self]) -> Result<&[f32]>;

    /// As [`pack_panel`], in words: those of neighbouring inputs become one.
    ///
    /// # Errors
    /// Out of memory.
    fn pack_panel(
        cpu: &Cpu,
        weights: &Weights<'_, Self>,
        elements: &[[usize; 2]],
        first: usize,
        panel: &mut [f32],
    ) -> Result<()>;

    /// Copies rows of a frame whose pixels are to be multiplied together with the next one that an output sees,
    /// `shift` pixels on, into words.
    fn copy_pixels(frame: &Frame, image: &[Self], first: usize, shift: usize, band: &mut [f32]);

    /// Gradients of pixels as words, panel by panel.
    fn pack_gradients<'a>(
        gradients: Rows<'_, Self>,
        panel: usize,
        room: &'a mut [f32],
    ) -> Gradients<'a>;
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
    fn run<K: Kernel>(level: Available, kernel: K) -> K::Output {
        level.run_kernel(kernel)
    }

    fn words(numbers: &[f32]) -> Result<&[f32]> {
        Ok(numbers)
    }

    fn pack_panel(
        _: &Cpu,
        weights: &Weights<'_, f32>,
        elements: &[[usize; 2]],
        first: usize,
        panel: &mut [f32],
    ) -> Result<()> {
        pack_panel(weights, elements, first, panel);
        Ok(())
    }

    fn copy_pixels(frame: &Frame, image: &[f32], first: usize, _: usize, band: &mut [f32]) {
        frame.copy(image, first, band);
    }

    fn pack_gradients<'a>(
        Rows { data, pitch, size, channels }: Rows<'_, f32>,
        panel: usize,
        room: &'a mut [f32],
    ) -> Gradients<'a> {
        let pixels = size[0] * size[1];
        for (pixel, row) in data.chunks(pitch.max(1)).take(pixels).enumerate() {
            for (at, from) in row[..channels].chunks(panel).enumerate() {
                let to = (at * pixels + pixel) * panel;
                room[to..to + from.len()].copy_from_slice(from);
            }
        }
        Gradients { data: room, pitch: panel, panel_step: pixels * panel, channels }
    }
}

/// Two bf16 as a word.
#[inline(always)]
fn word(first: bf16, second: bf16) -> f32 {
    f32::from_bits(u32::from(first.to_bits()) | u32::from(second.to_bits()) << 16)
}

/// Rows of floats, `width` each, as rows of words: two rows become one.
fn fold_rows(floats: &[f32], width: usize, words: &mut [f32]) {
    let pairs = floats.chunks_exact((2 * width).max(1));
    for (to, rows) in words.chunks_exact_mut(width.max(1)).zip(pairs) {
        let (first, second) = rows.split_at(width);
        for (to, (&first, &second)) in to.iter_mut().zip(first.iter().zip(second)) {
            *to = word(bf16::from_f32(first), bf16::from_f32(second));
        }
    }
}

impl Factor for bf16 {
    const IN_WORD: usize = 2;

    type Level = Pairs;

    #[inline]
    fn run<K: Kernel>(level: Pairs, kernel: K) -> K::Output {
        level.run_kernel(kernel)
    }

    fn words(numbers: &[bf16]) -> Result<&[f32]> {
        bytemuck::try_cast_slice(numbers)
            .map_err(|_| Error::argument("images of bf16 came to their kernel at half a word"))
    }

    fn pack_panel(
        cpu: &Cpu,
        weights: &Weights<'_, bf16>,
        elements: &[[usize; 2]],
        first: usize,
        panel: &mut [f32],
    ) -> Result<()> {
        let mut floats = cpu.workspace::<f32>(panel.len() * Self::IN_WORD)?;
        pack_panel(weights, elements, first, floats.as_mut_slice());
        let width = panel.len() * Self::IN_WORD / (elements.len() * weights.channels[1]).max(1);
        fold_rows(floats.as_slice(), width, panel);
        Ok(())
    }

    fn copy_pixels(frame: &Frame, image: &[bf16], first: usize, shift: usize, band: &mut [f32]) {
        frame.copy_pairs(image, first, shift, band);
    }

    fn pack_gradients<'a>(
        Rows { data, pitch, size: [rows, pixels], channels }: Rows<'_, bf16>,
        panel: usize,
        room: &'a mut [f32],
    ) -> Gradients<'a> {
        let pairs = rows * pixels.div_ceil(2);
        for pair in 0..pairs {
            let (row, pixel) = (pair / pixels.div_ceil(2), pair % pixels.div_ceil(2) * 2);
            let channels_of = |pixel: usize| &data[(row * pixels + pixel) * pitch..][..channels];
            let first = channels_of(pixel).chunks(panel);
            // A row of odd length ends with a pair whose second gradient is none.
            let second = (pixel + 1 < pixels).then(|| channels_of(pixel + 1));
            for (at, first) in first.enumerate() {
                let to = &mut room[(at * pairs + pair) * panel..][..first.len()];
                match second {
                    Some(second) => {
                        let second = &second[at * panel..];
                        for (to, (&first, &second)) in to.iter_mut().zip(first.iter().zip(second)) {
                            *to = word(first, second);
                        }
                    }
                    None => to.iter_mut().zip(first).for_each(|(to, &g)| *to = word(g, bf16::ZERO)),
                }
            }
        }
        Gradients { data: room, pitch: panel, panel_step: pairs * panel, channels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }

    #[test]
    fn two_rows_become_one_of_words() {
        let mut words = [0.0; 4];
        fold_rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 2, &mut words);
        assert_eq!(parts(&words), [[1.0, 3.0], [2.0, 4.0], [5.0, 7.0], [6.0, 8.0]]);
    }

    #[test]
    fn gradients_of_neighbouring_pixels_are_a_word_and_the_last_of_a_row_may_be_alone() {
        // Two rows of three pixels with three channels, four numbers apart; panels of two channels.
        let data = halves((0..24).map(|i| i as f32));
        let rows = Rows { data: &data, pitch: 4, size: [2, 3], channels: 3 };
        let mut room = [0.0; 16];
        let packed = bf16::pack_gradients(rows, 2, &mut room);
        assert_eq!((packed.pitch, packed.panel_step, packed.channels), (2, 8, 3));
        let first = [[0.0, 4.0], [1.0, 5.0], [8.0, 0.0], [9.0, 0.0]];
        let second = [[12.0, 16.0], [13.0, 17.0], [20.0, 0.0], [21.0, 0.0]];
        assert_eq!(parts(&packed.data[..8]), [first, second].concat());
        let of = |pair: usize| parts(packed.data)[8 + 2 * pair];
        assert_eq!(
            [of(0), of(1), of(2), of(3)],
            [[2.0, 6.0], [10.0, 0.0], [14.0, 18.0], [22.0, 0.0]]
        );
    }
}

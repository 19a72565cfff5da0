//! The arguments of a kernel, packed as a launch takes them.

use smallvec::SmallVec;

use crate::queue::mix;

/// Values one after the other, each with its place. Built in the order of the kernel's parameters.
///
/// Addresses, sizes and strides are fixed: a launch with others is another launch. Numbers that may change
/// from step to step vary: [`Args::double`], [`Args::doubles`] and [`Args::bits`].
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Args {
    /// Eight bytes hold the alignment of every parameter type.
    words: SmallVec<[u64; 64]>,
    /// Where each argument begins, and whether it varies.
    starts: SmallVec<[(usize, bool); 32]>,
}

impl Clone for Args {
    fn clone(&self) -> Self {
        Args { words: self.words.clone(), starts: self.starts.clone() }
    }

    fn clone_from(&mut self, source: &Self) {
        self.words.clone_from(&source.words);
        self.starts.clone_from(&source.starts);
    }
}

impl Args {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn push(mut self, words: &[u64]) -> Self {
        self.starts.push((self.words.len(), false));
        self.words.extend_from_slice(words);
        self
    }

    fn push_varying(mut self, words: &[u64]) -> Self {
        self.starts.push((self.words.len(), true));
        self.words.extend_from_slice(words);
        self
    }

    /// A pointer to device memory.
    pub(crate) fn pointer(self, address: u64) -> Self {
        self.push(&[address])
    }

    /// An `i64`.
    pub(crate) fn long(self, value: i64) -> Self {
        self.push(&[value as u64])
    }

    /// An `i64` from a size, which a shape keeps below 2^63.
    pub(crate) fn size(self, value: usize) -> Self {
        self.push(&[value as u64])
    }

    /// A `u64`.
    pub(crate) fn bits(self, value: u64) -> Self {
        self.push_varying(&[value])
    }

    /// An `int`.
    pub(crate) fn int(self, value: i32) -> Self {
        self.push(&[u64::from(value as u32)])
    }

    /// A `double`.
    pub(crate) fn double(self, value: f64) -> Self {
        self.push_varying(&[value.to_bits()])
    }

    /// A `Longs<N>`: numbers passed by value.
    pub(crate) fn longs<const N: usize>(self, values: [i64; N]) -> Self {
        self.push(&values.map(|value| value as u64))
    }

    /// A `Longs<N>` for as many words as there are.
    pub(crate) fn words(self, words: &[u64]) -> Self {
        self.push(words)
    }

    /// A `Doubles<N>`: numbers passed by value; those that are not given are 0.
    pub(crate) fn doubles(self, values: &[f64], count: usize) -> Self {
        let mut words: SmallVec<[u64; 16]> = values.iter().map(|value| value.to_bits()).collect();
        words.resize(count, 0);
        self.push_varying(&words)
    }

    /// The place of each argument, for as long as these live.
    pub(crate) fn places(&mut self) -> SmallVec<[*mut u64; 32]> {
        let base = self.words.as_mut_ptr();
        // Every start lies within the words, and what follows is at least the argument's own words.
        self.starts.iter().map(|&(start, _)| base.wrapping_add(start)).collect()
    }

    /// The words of each argument that does not vary.
    fn fixed(&self) -> impl Iterator<Item = &[u64]> {
        let ends = self.starts.iter().skip(1).map(|&(start, _)| start);
        let ranges = self.starts.iter().zip(ends.chain([self.words.len()]));
        ranges.filter(|((_, varies), _)| !varies).map(|(&(start, _), end)| &self.words[start..end])
    }

    /// A hash of everything that does not vary.
    pub(crate) fn fixed_hash(&self) -> u64 {
        self.fixed().fold(self.starts.len() as u64, mix)
    }

    /// Whether two launches' arguments are the same but for what varies.
    pub(crate) fn is_fixed_like(&self, other: &Args) -> bool {
        self.starts == other.starts && self.fixed().eq(other.fixed())
    }

    #[cfg(test)]
    pub(crate) fn last_word(&self) -> u64 {
        *self.words.last().expect("a test's launch has arguments")
    }
}

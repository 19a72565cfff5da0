//! The machine's own ceilings, which the same run measures first, and what they allow a row.

use super::line::Line;
use super::passes::Entry;

/// The first part of the names of rows that measure a ceiling.
pub(super) const ROOM: &str = "ceiling/";

/// What the machine reaches at its best with all the threads of the run: the rate of the fastest sample,
/// since other work can only make a sample slower.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Ceilings {
    /// Fused multiply-adds of f32 from registers, in GFLOP/s.
    pub(super) fma: Option<f64>,
    /// Dot products of pairs of bf16 in vector registers, in GFLOP/s, where the processor has them.
    pub(super) pairs: Option<f64>,
    /// Dot products of bf16 tiles, in GFLOP/s, where the processor has them.
    pub(super) amx: Option<f64>,
    /// A copy of arrays larger than the caches, bytes read and written, in GB/s.
    pub(super) copy: Option<f64>,
}

impl Ceilings {
    /// The ceilings among the lines of a run.
    pub(super) fn of(lines: &[Line]) -> Self {
        let entries = Entry::all(lines);
        let best = |name: &str| Self::best(entries.iter().find(|entry| entry.name == name)?);
        Self {
            fma: best("ceiling/fma/f32"),
            pairs: best("ceiling/pairs/bf16"),
            amx: best("ceiling/amx/bf16"),
            copy: best("ceiling/copy"),
        }
    }

    /// The rate of the fastest sample of a ceiling.
    pub(super) fn best(entry: &Entry) -> Option<f64> {
        Some(entry.value? * entry.median_ms? / entry.min_ms?)
    }

    /// The peak of arithmetic for a row in GFLOP/s: bf16 may use tiles, or else pairs.
    pub(super) fn peak(&self, name: &str) -> Option<f64> {
        if is_bf16(name) { self.amx.or(self.pairs).or(self.fma) } else { self.fma }
    }

    /// The peaks of arithmetic that the machine has.
    pub(super) fn peaks(&self) -> impl Iterator<Item = f64> {
        [self.fma, self.pairs, self.amx].into_iter().flatten()
    }

    /// The GFLOP/s that a row can reach: min(peak, bandwidth x intensity).
    pub(super) fn attainable(&self, work: &Work<'_>) -> Option<f64> {
        Some(self.peak(work.name)?.min(self.copy? * work.intensity()?))
    }

    /// The least time of an iteration in milliseconds: max(flops / peak, bytes / bandwidth). A side
    /// that is not known is left out.
    pub(super) fn floor_ms(&self, work: &Work<'_>) -> Option<f64> {
        let arithmetic = work.flops.zip(self.peak(work.name)).map(|(flops, peak)| flops / peak);
        let traffic = work.bytes.zip(self.copy).map(|(bytes, copy)| bytes / copy);
        let floor = match (arithmetic, traffic) {
            (Some(a), Some(b)) => a.max(b),
            (one, other) => one.or(other)?,
        };
        Some(floor / 1e6)
    }
}

/// What one iteration of a row does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Work<'a> {
    /// The row.
    pub(super) name: &'a str,
    /// Floating-point operations.
    pub(super) flops: Option<f64>,
    /// The least memory traffic.
    pub(super) bytes: Option<f64>,
    /// Milliseconds.
    pub(super) ms: Option<f64>,
}

impl Work<'_> {
    /// Operations a byte.
    pub(super) fn intensity(&self) -> Option<f64> {
        Some(self.flops? / self.bytes.filter(|&bytes| bytes > 0.0)?)
    }

    /// The rate of arithmetic in GFLOP/s.
    pub(super) fn gflops(&self) -> Option<f64> {
        Some(self.flops? / self.ms? / 1e6)
    }

    /// The rate of memory traffic in GB/s, as if each operand moved once.
    pub(super) fn gbytes(&self) -> Option<f64> {
        Some(self.bytes? / self.ms? / 1e6)
    }
}

fn is_bf16(name: &str) -> bool {
    name.split('/').any(|part| part == "bf16")
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::line;
    use super::*;

    fn work<'a>(name: &'a str, flops: f64, bytes: f64) -> Work<'a> {
        Work { name, flops: Some(flops), bytes: Some(bytes), ms: Some(10.0) }
    }

    const MACHINE: Ceilings =
        Ceilings { fma: Some(200.0), pairs: Some(400.0), amx: Some(1000.0), copy: Some(10.0) };

    #[test]
    fn a_ceiling_is_the_fastest_sample_of_its_row() {
        let mut fma = line("ferrotape", "default", "ceiling/fma/f32", 100.0);
        // The median of the samples is 10 ms; the machine has shown that it can do it in 5.
        fma.min_ms = Some(5.0);
        let lines = [fma, line("ferrotape", "default", "ceiling/copy", 10.0)];
        let found = Ceilings::of(&lines);
        assert_eq!(found, Ceilings { pairs: None, amx: None, ..MACHINE });
    }

    #[test]
    fn bf16_is_held_against_tiles_or_pairs_where_there_are_some() {
        assert_eq!(MACHINE.peak("train/x/b1/bf16"), Some(1000.0));
        assert_eq!(MACHINE.peak("conv2d/x/b1/f32/forward"), Some(200.0));
        let without_tiles = Ceilings { amx: None, ..MACHINE };
        assert_eq!(without_tiles.peak("train/x/b1/bf16"), Some(400.0));
        let without_both = Ceilings { pairs: None, ..without_tiles };
        assert_eq!(without_both.peak("train/x/b1/bf16"), Some(200.0));
    }

    #[test]
    fn a_row_is_bound_by_arithmetic_or_by_memory() {
        // 2 GFLOP over 10 MB: 200 operations a byte, far right of the ridge at 20.
        let dense = work("x/f32", 2e9, 1e7);
        assert_eq!(MACHINE.attainable(&dense), Some(200.0));
        assert_eq!(MACHINE.floor_ms(&dense), Some(10.0));
        assert_eq!((dense.gflops(), dense.gbytes()), (Some(200.0), Some(1.0)));
        // One operation a byte: the bandwidth allows 10 GFLOP/s.
        let thin = work("x/f32", 1e8, 1e8);
        assert_eq!(MACHINE.attainable(&thin), Some(10.0));
        assert_eq!(MACHINE.floor_ms(&thin), Some(10.0));
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let nothing = Work { name: "x", flops: None, bytes: None, ms: Some(1.0) };
        assert_eq!(MACHINE.floor_ms(&nothing), None);
        assert_eq!(MACHINE.attainable(&nothing), None);
        assert_eq!(nothing.gflops(), None);
        assert_eq!(work("x", 1.0, 0.0).intensity(), None);
        let traffic = Work { bytes: Some(1e7), ..nothing };
        assert_eq!(MACHINE.floor_ms(&traffic), Some(1.0));
    }
}

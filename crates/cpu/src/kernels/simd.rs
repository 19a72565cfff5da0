//! Sixteen floats at a time, on every level: what the hand-written kernels are made of.
//!
//! The portable version is an array, which the compiler turns into whatever vectors there are.

use half::bf16;

/// Lanes of a [`Simd`] vector.
pub(crate) const LANES: usize = 16;

/// Operations on vectors of [`LANES`] floats. A value of the type is the proof that the machine has
/// the instructions.
pub(crate) trait Simd: Copy {
    /// Sixteen floats.
    type V: Copy;

    /// How many vectors fit in registers, with a few left for operands.
    const ACCUMULATORS: usize;

    /// Vectors of a panel of outputs that a convolution computes at a time.
    const PANEL: usize;

    /// Pixels that a convolution computes at a time, at most: as many as have registers for a panel.
    const TILE: usize = Self::ACCUMULATORS / Self::PANEL;

    /// The same number in every lane.
    fn splat(self, value: f32) -> Self::V;

    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;

    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;

    /// `a b + c`, rounded once where the machine can.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// The larger of each number and 0; a NaN stays one.
    fn relu(self, value: Self::V) -> Self::V;

    /// Two words a lane: those of `new` where its first is greater than that of `old`, or is a NaN and that of
    /// `old` is none. Words stay what they are.
    #[inline(always)]
    fn larger(self, new: [Self::V; 2], old: [Self::V; 2]) -> [Self::V; 2] {
        let mut lanes = [[[0.0f32; LANES]; 2]; 2];
        // SAFETY: each row has room for a vector, and is one.
        unsafe {
            for (lanes, vectors) in lanes.iter_mut().zip([new, old]) {
                self.store(lanes[0].as_mut_ptr(), vectors[0]);
                self.store(lanes[1].as_mut_ptr(), vectors[1]);
            }
            let [new, mut result] = lanes;
            for lane in 0..LANES {
                let wins = new[0][lane] > result[0][lane]
                    || (new[0][lane].is_nan() && !result[0][lane].is_nan());
                result[0][lane] = if wins { new[0][lane] } else { result[0][lane] };
                result[1][lane] = if wins { new[1][lane] } else { result[1][lane] };
            }
            [self.load(result[0].as_ptr()), self.load(result[1].as_ptr())]
        }
    }

    /// `sum + value` in the lanes where both words are equal, `sum` in the others.
    #[inline(always)]
    fn add_where_equal(self, words: [Self::V; 2], value: Self::V, sum: Self::V) -> Self::V {
        let mut lanes = [[0.0f32; LANES]; 3];
        // SAFETY: each row has room for a vector, and is one.
        unsafe {
            for (lanes, vector) in lanes.iter_mut().zip([words[0], words[1], value]) {
                self.store(lanes.as_mut_ptr(), vector);
            }
            let mut sums = [0.0f32; LANES];
            self.store(sums.as_mut_ptr(), sum);
            for (lane, sum) in sums.iter_mut().enumerate() {
                let are_equal = lanes[0][lane].to_bits() == lanes[1][lane].to_bits();
                *sum = if are_equal { *sum + lanes[2][lane] } else { *sum };
            }
            self.load(sums.as_ptr())
        }
    }

    /// The vector at `from`.
    ///
    /// # Safety
    /// `from` is valid for reading [`LANES`] floats.
    unsafe fn load(self, from: *const f32) -> Self::V;

    /// Writes the vector to `to`.
    ///
    /// # Safety
    /// `to` is valid for writing [`LANES`] floats.
    unsafe fn store(self, to: *mut f32, value: Self::V);

    /// The first `count` lanes from `from`, zeros in the others.
    ///
    /// # Safety
    /// `from` is valid for reading `count` floats, and `count <= LANES`.
    unsafe fn load_part(self, from: *const f32, count: usize) -> Self::V;

    /// Writes the first `count` lanes to `to`.
    ///
    /// # Safety
    /// `to` is valid for writing `count` floats, and `count <= LANES`.
    unsafe fn store_part(self, to: *mut f32, value: Self::V, count: usize);

    /// The first `count` numbers from `from`, zeros in the other lanes.
    ///
    /// # Safety
    /// `from` is valid for reading `count` numbers, and `count <= LANES`.
    #[inline(always)]
    unsafe fn load_bf16(self, from: *const bf16, count: usize) -> Self::V {
        let mut lanes = [0.0; LANES];
        for (lane, to) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller's.
            *to = f32::from_bits(u32::from(unsafe { from.add(lane).read() }.to_bits()) << 16);
        }
        // SAFETY: `lanes` is a vector.
        unsafe { self.load(lanes.as_ptr()) }
    }

    /// Words of two bf16, of floats that have a bf16's bits only: those of `first` come first in memory.
    #[inline(always)]
    fn pair(self, first: Self::V, second: Self::V) -> Self::V {
        let mut lanes = [[0.0f32; LANES]; 2];
        // SAFETY: each row has room for a vector, and is one.
        unsafe {
            self.store(lanes[0].as_mut_ptr(), first);
            self.store(lanes[1].as_mut_ptr(), second);
            let [first, second] = &mut lanes;
            for (first, second) in first.iter_mut().zip(second) {
                let high = second.to_bits() & 0xffff_0000;
                *first = f32::from_bits(first.to_bits() >> 16 | high);
            }
            self.load(lanes[0].as_ptr())
        }
    }

    /// Rows as columns: lane `i` of row `j` becomes lane `j` of row `i`. Words stay what they are.
    #[inline(always)]
    fn transpose(self, rows: [Self::V; LANES]) -> [Self::V; LANES] {
        let mut from = [[0.0; LANES]; LANES];
        let mut result = rows;
        // SAFETY: each row has room for a vector, and is one.
        unsafe {
            for (to, row) in from.iter_mut().zip(rows) {
                self.store(to.as_mut_ptr(), row);
            }
            for (lane, row) in result.iter_mut().enumerate() {
                let mut column = [0.0; LANES];
                for (to, from) in column.iter_mut().zip(&from) {
                    *to = from[lane];
                }
                *row = self.load(column.as_ptr());
            }
        }
        result
    }

    /// Writes the first `count` lanes to `to`, rounded to bf16.
    ///
    /// # Safety
    /// `to` is valid for writing `count` numbers, and `count <= LANES`.
    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut bf16, value: Self::V, count: usize) {
        let mut lanes = [0.0; LANES];
        // SAFETY: `lanes` has room for a vector; the caller vouches for `to`.
        unsafe {
            self.store(lanes.as_mut_ptr(), value);
            let rounded = lanes.map(bf16::from_f32);
            std::ptr::copy_nonoverlapping(rounded.as_ptr(), to, count);
        }
    }
}

/// A type whose numbers kernels read as vectors of floats, and write their sums as.
pub(crate) trait InMemory: Copy + Send {
    /// The first `count` numbers from `from`, zeros in the other lanes.
    ///
    /// # Safety
    /// `from` is valid for reading `count` numbers, and `count <= LANES`.
    unsafe fn load<S: Simd>(simd: S, from: *const Self, count: usize) -> S::V;

    /// Writes the first `count` lanes to `to`, rounded to the type.
    ///
    /// # Safety
    /// `to` is valid for writing `count` numbers, and `count <= LANES`.
    unsafe fn store<S: Simd>(simd: S, to: *mut Self, value: S::V, count: usize);
}

impl InMemory for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const f32, count: usize) -> S::V {
        // SAFETY: the caller's.
        unsafe {
            match count >= LANES {
                true => simd.load(from),
                false => simd.load_part(from, count),
            }
        }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(simd: S, to: *mut f32, value: S::V, count: usize) {
        // SAFETY: the caller's.
        unsafe {
            match count >= LANES {
                true => simd.store(to, value),
                false => simd.store_part(to, value, count),
            }
        }
    }
}

impl InMemory for bf16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, from: *const bf16, count: usize) -> S::V {
        // SAFETY: the caller's.
        unsafe { simd.load_bf16(from, count) }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(simd: S, to: *mut bf16, value: S::V, count: usize) {
        // SAFETY: the caller's.
        unsafe { simd.store_bf16(to, value, count) }
    }
}

/// The first [`LANES`] numbers, or as many as there are and zeros.
#[inline(always)]
pub(crate) fn read<S: Simd, T: InMemory>(simd: S, from: &[T]) -> S::V {
    // SAFETY: as many numbers are read as there are.
    unsafe { T::load(simd, from.as_ptr(), from.len().min(LANES)) }
}

/// Writes as many lanes as there is room for.
#[inline(always)]
pub(crate) fn write<S: Simd, T: InMemory>(simd: S, to: &mut [T], value: S::V) {
    // SAFETY: as many numbers are written as there is room for.
    unsafe { T::store(simd, to.as_mut_ptr(), value, to.len().min(LANES)) }
}

/// Arrays of floats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain;

impl Simd for Plain {
    type V = [f32; LANES];

    const ACCUMULATORS: usize = 3;
    const PANEL: usize = 1;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; LANES]
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn relu(self, value: Self::V) -> Self::V {
        value.map(|x| if x < 0.0 { 0.0 } else { x })
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::V {
        // SAFETY: the caller's.
        unsafe { from.cast::<Self::V>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: Self::V) {
        // SAFETY: the caller's.
        unsafe { to.cast::<Self::V>().write_unaligned(value) }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, count: usize) -> Self::V {
        let mut value = [0.0; LANES];
        // SAFETY: the caller's; `value` has room for `count <= LANES` floats.
        unsafe { std::ptr::copy_nonoverlapping(from, value.as_mut_ptr(), count) }
        value
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, value: Self::V, count: usize) {
        // SAFETY: the caller's; `value` has `count <= LANES` floats.
        unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), to, count) }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512, Avx512Pairs};

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::kernels::dispatch::{Available, Kernel};

    /// What moves numbers and computes nothing gives the same on each level.
    struct Moves<'a> {
        rows: &'a [[f32; LANES]; LANES],
        count: usize,
    }

    impl Kernel for Moves<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let Moves { rows, count } = self;
            let mut vectors = [simd.splat(0.0); LANES];
            for (vector, row) in vectors.iter_mut().zip(rows) {
                *vector = read(simd, &row[..]);
            }
            let mut columns = [[0.0; LANES]; LANES];
            for (column, vector) in columns.iter_mut().zip(simd.transpose(vectors)) {
                write(simd, &mut column[..], vector);
            }
            let numbers = [bf16::from_f32(-7.5); LANES + 1];
            let mut halves = numbers;
            write(simd, &mut halves[..count], vectors[1]);
            let mut back = [0.0; LANES];
            write(simd, &mut back[..], read(simd, &halves[..count]));
            let mut words = [0.0; LANES];
            let [first, second] = [&halves[..count], &numbers[..]].map(|row| read(simd, row));
            write(simd, &mut words[..], simd.pair(first, second));
            for i in 0..LANES {
                for j in 0..LANES {
                    assert_eq!(columns[i][j].to_bits(), rows[j][i].to_bits(), "{i} {j}");
                }
                let half = if i < count { bf16::from_f32(rows[1][i]) } else { numbers[i] };
                assert_eq!(halves[i].to_bits(), half.to_bits(), "{i} of {count}: {}", rows[1][i]);
                let read = if i < count { half } else { bf16::ZERO };
                assert_eq!(back[i].to_bits(), read.to_f32().to_bits(), "{i} of {count}");
                let word = u32::from(read.to_bits()) | u32::from(numbers[i].to_bits()) << 16;
                assert_eq!(words[i].to_bits(), word, "{i} of {count}");
            }
            assert_eq!(halves[LANES], numbers[LANES]);
        }
    }

    #[test]
    fn numbers_are_moved_alike_on_each_level() {
        let mut rows = [[0.0; LANES]; LANES];
        for (i, number) in rows.iter_mut().flatten().enumerate() {
            *number = (i as f32 - 20.0) * 1.000_77;
        }
        let half = |bits: u32| f32::from_bits(0x3f80_0000 + bits);
        let special = [
            [f32::NAN, f32::from_bits(0xff80_0001), f32::INFINITY, f32::NEG_INFINITY],
            [half(0x7fff), half(0x8000), half(0x8001), half(0x1_8000)],
            [f32::MAX, f32::MIN, -0.0, half(0x1_7fff)],
        ];
        rows[1][..12].copy_from_slice(special.as_flattened());
        for level in Level::ALL.into_iter().filter_map(|level| Available::new(level).ok()) {
            for count in 0..=LANES {
                level.run_kernel(Moves { rows: &rows, count });
                if let Some(pairs) = level.pairs() {
                    pairs.run_kernel(Moves { rows: &rows, count });
                }
            }
        }
    }
}

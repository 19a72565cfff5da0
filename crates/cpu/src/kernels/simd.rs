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
mod x86 {
    use std::arch::x86_64::*;

    use half::bf16;

    use super::{LANES, Simd};

    /// Pairs of 256-bit vectors.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Avx2(());

    impl Avx2 {
        /// # Safety
        /// The machine has AVX2 and FMA.
        pub(crate) unsafe fn new() -> Self {
            Avx2(())
        }

        /// All bits of the first `count` lanes of the half that begins at lane `first`.
        #[inline(always)]
        fn mask(self, first: usize, count: usize) -> __m256i {
            let left = count.saturating_sub(first) as i32;
            // SAFETY: an `Avx2` is made only where the machine has the instructions.
            unsafe {
                let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
                _mm256_cmpgt_epi32(_mm256_set1_epi32(left), lanes)
            }
        }
    }

    impl Simd for Avx2 {
        type V = [__m256; 2];

        const ACCUMULATORS: usize = 6;
        const PANEL: usize = 1;

        #[inline(always)]
        fn splat(self, value: f32) -> Self::V {
            // SAFETY: an `Avx2` is made only where the machine has the instructions.
            [unsafe { _mm256_set1_ps(value) }; 2]
        }

        #[inline(always)]
        fn add(self, a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: as in `splat`.
            unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
        }

        #[inline(always)]
        fn sub(self, a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: as in `splat`.
            unsafe { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
        }

        #[inline(always)]
        fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: as in `splat`.
            unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
        }

        #[inline(always)]
        unsafe fn load(self, from: *const f32) -> Self::V {
            // SAFETY: as in `splat`; the caller vouches for the pointer.
            unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32, value: Self::V) {
            // SAFETY: as in `splat`; the caller vouches for the pointer.
            unsafe {
                _mm256_storeu_ps(to, value[0]);
                _mm256_storeu_ps(to.add(8), value[1]);
            }
        }

        #[inline(always)]
        unsafe fn load_part(self, from: *const f32, count: usize) -> Self::V {
            // SAFETY: as in `splat`; lanes that are masked out are not read.
            unsafe {
                [
                    _mm256_maskload_ps(from, self.mask(0, count)),
                    _mm256_maskload_ps(from.wrapping_add(8), self.mask(8, count)),
                ]
            }
        }

        #[inline(always)]
        unsafe fn store_part(self, to: *mut f32, value: Self::V, count: usize) {
            // SAFETY: as in `splat`; lanes that are masked out are not written.
            unsafe {
                _mm256_maskstore_ps(to, self.mask(0, count), value[0]);
                _mm256_maskstore_ps(to.wrapping_add(8), self.mask(8, count), value[1]);
            }
        }
    }

    /// 512-bit vectors.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Avx512(());

    impl Avx512 {
        /// # Safety
        /// The machine has AVX-512 F.
        pub(crate) unsafe fn new() -> Self {
            Avx512(())
        }

        #[inline(always)]
        fn mask(self, count: usize) -> __mmask16 {
            ((1u32 << count.min(LANES)) - 1) as __mmask16
        }
    }

    impl Simd for Avx512 {
        type V = __m512;

        const ACCUMULATORS: usize = 28;
        const PANEL: usize = 2;

        #[inline(always)]
        fn splat(self, value: f32) -> Self::V {
            // SAFETY: an `Avx512` is made only where the machine has the instructions.
            unsafe { _mm512_set1_ps(value) }
        }

        #[inline(always)]
        fn add(self, a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: as in `splat`.
            unsafe { _mm512_add_ps(a, b) }
        }

        #[inline(always)]
        fn sub(self, a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: as in `splat`.
            unsafe { _mm512_sub_ps(a, b) }
        }

        #[inline(always)]
        fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: as in `splat`.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        unsafe fn load(self, from: *const f32) -> Self::V {
            // SAFETY: as in `splat`; the caller vouches for the pointer.
            unsafe { _mm512_loadu_ps(from) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32, value: Self::V) {
            // SAFETY: as in `splat`; the caller vouches for the pointer.
            unsafe { _mm512_storeu_ps(to, value) }
        }

        #[inline(always)]
        unsafe fn load_part(self, from: *const f32, count: usize) -> Self::V {
            // SAFETY: as in `splat`; lanes that are masked out are not read.
            unsafe { _mm512_maskz_loadu_ps(self.mask(count), from) }
        }

        #[inline(always)]
        unsafe fn store_part(self, to: *mut f32, value: Self::V, count: usize) {
            // SAFETY: as in `splat`; lanes that are masked out are not written.
            unsafe { _mm512_mask_storeu_ps(to, self.mask(count), value) }
        }

        #[inline(always)]
        unsafe fn load_bf16(self, from: *const bf16, count: usize) -> Self::V {
            // SAFETY: as in `splat`; lanes that are masked out are not read.
            unsafe {
                let numbers = _mm256_maskz_loadu_epi16(self.mask(count), from.cast());
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(numbers)))
            }
        }

        #[inline(always)]
        fn pair(self, first: Self::V, second: Self::V) -> Self::V {
            // SAFETY: as in `splat`.
            unsafe {
                let first = _mm512_srli_epi32::<16>(_mm512_castps_si512(first));
                // Lanes of 16 bits: the upper half of each word is that of `second`.
                let second = _mm512_castps_si512(second);
                _mm512_castsi512_ps(_mm512_mask_mov_epi16(first, 0xaaaa_aaaa, second))
            }
        }

        #[inline(always)]
        fn transpose(self, rows: [Self::V; LANES]) -> [Self::V; LANES] {
            let mut pairs = rows;
            let mut fours = rows;
            let mut result = rows;
            // SAFETY: as in `splat`.
            unsafe {
                for i in (0..LANES).step_by(2) {
                    pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
                    pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
                }
                // Quarter q of `fours[4 g + j]` is column 4 q + j of the rows from 4 g on.
                for i in (0..LANES).step_by(4) {
                    for half in 0..2 {
                        let a = _mm512_castps_pd(pairs[i + half]);
                        let b = _mm512_castps_pd(pairs[i + half + 2]);
                        fours[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                        fours[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
                    }
                }
                for j in 0..4 {
                    let even_above = _mm512_shuffle_f32x4::<0x88>(fours[j], fours[4 + j]);
                    let even_below = _mm512_shuffle_f32x4::<0x88>(fours[8 + j], fours[12 + j]);
                    let odd_above = _mm512_shuffle_f32x4::<0xdd>(fours[j], fours[4 + j]);
                    let odd_below = _mm512_shuffle_f32x4::<0xdd>(fours[8 + j], fours[12 + j]);
                    result[j] = _mm512_shuffle_f32x4::<0x88>(even_above, even_below);
                    result[4 + j] = _mm512_shuffle_f32x4::<0x88>(odd_above, odd_below);
                    result[8 + j] = _mm512_shuffle_f32x4::<0xdd>(even_above, even_below);
                    result[12 + j] = _mm512_shuffle_f32x4::<0xdd>(odd_above, odd_below);
                }
            }
            result
        }

        #[inline(always)]
        unsafe fn store_bf16(self, to: *mut bf16, value: Self::V, count: usize) {
            // SAFETY: as in `splat`; lanes that are masked out are not written.
            unsafe {
                let bits = _mm512_castps_si512(value);
                let upper = _mm512_srli_epi32::<16>(bits);
                // To nearest, ties to even; a NaN keeps its upper bits and becomes a quiet one.
                let odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
                let half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
                let rounded = _mm512_srli_epi32::<16>(_mm512_add_epi32(bits, half));
                let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(value, value);
                let quiet = _mm512_or_si512(upper, _mm512_set1_epi32(0x40));
                let rounded = _mm512_mask_mov_epi32(rounded, nan, quiet);
                let numbers = _mm512_cvtepi32_epi16(rounded);
                _mm256_mask_storeu_epi16(to.cast(), self.mask(count), numbers);
            }
        }
    }

    /// 512-bit vectors whose factors are pairs of bf16: [`Simd::mul_add`] adds two products to each lane, which
    /// is a float. What is loaded and spread is passed on to it as it lies in memory, a pair where a float
    /// would be.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Avx512Pairs(Avx512);

    impl Avx512Pairs {
        /// # Safety
        /// The machine has AVX-512 F, VL, BW and BF16.
        pub(crate) unsafe fn new() -> Self {
            Avx512Pairs(Avx512(()))
        }
    }

    impl Simd for Avx512Pairs {
        type V = __m512;

        const ACCUMULATORS: usize = Avx512::ACCUMULATORS;
        const PANEL: usize = Avx512::PANEL;

        #[inline(always)]
        fn splat(self, value: f32) -> Self::V {
            self.0.splat(value)
        }

        #[inline(always)]
        fn add(self, a: Self::V, b: Self::V) -> Self::V {
            self.0.add(a, b)
        }

        #[inline(always)]
        fn sub(self, a: Self::V, b: Self::V) -> Self::V {
            self.0.sub(a, b)
        }

        #[inline(always)]
        fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: an `Avx512Pairs` is made only where the machine has the instructions; both types are 512
            // bits of which every pattern is valid.
            unsafe {
                let [a, b] = [a, b].map(|pairs| std::mem::transmute::<__m512, __m512bh>(pairs));
                _mm512_dpbf16_ps(c, a, b)
            }
        }

        #[inline(always)]
        unsafe fn load(self, from: *const f32) -> Self::V {
            // SAFETY: the caller's.
            unsafe { self.0.load(from) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32, value: Self::V) {
            // SAFETY: the caller's.
            unsafe { self.0.store(to, value) }
        }

        #[inline(always)]
        unsafe fn load_part(self, from: *const f32, count: usize) -> Self::V {
            // SAFETY: the caller's.
            unsafe { self.0.load_part(from, count) }
        }

        #[inline(always)]
        unsafe fn store_part(self, to: *mut f32, value: Self::V, count: usize) {
            // SAFETY: the caller's.
            unsafe { self.0.store_part(to, value, count) }
        }

        #[inline(always)]
        unsafe fn load_bf16(self, from: *const bf16, count: usize) -> Self::V {
            // SAFETY: the caller's.
            unsafe { self.0.load_bf16(from, count) }
        }

        #[inline(always)]
        fn pair(self, first: Self::V, second: Self::V) -> Self::V {
            self.0.pair(first, second)
        }

        #[inline(always)]
        fn transpose(self, rows: [Self::V; LANES]) -> [Self::V; LANES] {
            self.0.transpose(rows)
        }

        #[inline(always)]
        unsafe fn store_bf16(self, to: *mut bf16, value: Self::V, count: usize) {
            // SAFETY: as in `mul_add`; lanes that are masked out are not written.
            unsafe {
                let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(value));
                _mm256_mask_storeu_epi16(to.cast(), self.0.mask(count), rounded);
            }
        }
    }
}

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

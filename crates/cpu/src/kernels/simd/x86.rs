//! The vectors of x86-64.

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
    fn relu(self, value: Self::V) -> Self::V {
        // SAFETY: as in `splat`. Of a NaN and a number, the second is taken.
        value.map(|half| unsafe { _mm256_max_ps(_mm256_setzero_ps(), half) })
    }

    #[inline(always)]
    fn larger(self, new: [Self::V; 2], old: [Self::V; 2]) -> [Self::V; 2] {
        let mut result = old;
        // SAFETY: as in `splat`.
        unsafe {
            for half in 0..2 {
                // Not less or equal: also where one of both is a NaN, but not where the old one is.
                let above = _mm256_cmp_ps::<_CMP_NLE_UQ>(new[0][half], old[0][half]);
                let number = _mm256_cmp_ps::<_CMP_ORD_Q>(old[0][half], old[0][half]);
                let wins = _mm256_and_ps(above, number);
                for (result, new) in result.iter_mut().zip(new) {
                    result[half] = _mm256_blendv_ps(result[half], new[half], wins);
                }
            }
        }
        result
    }

    #[inline(always)]
    fn add_where_equal(self, words: [Self::V; 2], value: Self::V, sum: Self::V) -> Self::V {
        let mut result = sum;
        // SAFETY: as in `splat`.
        unsafe {
            for (half, result) in result.iter_mut().enumerate() {
                let [a, b] = words.map(|word| _mm256_castps_si256(word[half]));
                let equal = _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b));
                *result = _mm256_blendv_ps(*result, _mm256_add_ps(*result, value[half]), equal);
            }
        }
        result
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

    /// Writes the first `count` of sixteen numbers.
    ///
    /// # Safety
    /// `to` is valid for writing them.
    #[inline(always)]
    unsafe fn store_halves(self, to: *mut bf16, numbers: __m256i, count: usize) {
        // SAFETY: as in `splat`; lanes that are masked out are not written.
        unsafe {
            match count >= LANES {
                true => _mm256_storeu_si256(to.cast(), numbers),
                false => _mm256_mask_storeu_epi16(to.cast(), self.mask(count), numbers),
            }
        }
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
    fn relu(self, value: Self::V) -> Self::V {
        // SAFETY: as in `splat`. Of a NaN and a number, the second is taken.
        unsafe { _mm512_max_ps(_mm512_setzero_ps(), value) }
    }

    #[inline(always)]
    fn larger(self, new: [Self::V; 2], old: [Self::V; 2]) -> [Self::V; 2] {
        // SAFETY: as in `splat`.
        unsafe {
            // Not less or equal: also where one of both is a NaN, but not where the old one is.
            let number = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(old[0], old[0]);
            let wins = _mm512_mask_cmp_ps_mask::<_CMP_NLE_UQ>(number, new[0], old[0]);
            [0, 1].map(|word| _mm512_mask_mov_ps(old[word], wins, new[word]))
        }
    }

    #[inline(always)]
    fn add_where_equal(self, words: [Self::V; 2], value: Self::V, sum: Self::V) -> Self::V {
        // SAFETY: as in `splat`.
        unsafe {
            let [a, b] = words.map(|word| _mm512_castps_si512(word));
            _mm512_mask_add_ps(sum, _mm512_cmpeq_epi32_mask(a, b), sum, value)
        }
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
            let numbers = match count >= LANES {
                true => _mm256_loadu_si256(from.cast()),
                false => _mm256_maskz_loadu_epi16(self.mask(count), from.cast()),
            };
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
            self.store_halves(to, _mm512_cvtepi32_epi16(rounded), count);
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
    fn relu(self, value: Self::V) -> Self::V {
        self.0.relu(value)
    }

    #[inline(always)]
    fn larger(self, new: [Self::V; 2], old: [Self::V; 2]) -> [Self::V; 2] {
        self.0.larger(new, old)
    }

    #[inline(always)]
    fn add_where_equal(self, words: [Self::V; 2], value: Self::V, sum: Self::V) -> Self::V {
        self.0.add_where_equal(words, value, sum)
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
            self.0.store_halves(to, rounded, count);
        }
    }
}

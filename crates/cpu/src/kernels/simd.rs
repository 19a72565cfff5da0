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

/// A type that kernels write their sums as.
pub(crate) trait Stores: Copy + Send {
    /// Writes the first `count` lanes to `to`, rounded to the type.
    ///
    /// # Safety
    /// `to` is valid for writing `count` numbers, and `count <= LANES`.
    unsafe fn store<S: Simd>(simd: S, to: *mut Self, value: S::V, count: usize);
}

impl Stores for f32 {
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

impl Stores for bf16 {
    #[inline(always)]
    unsafe fn store<S: Simd>(simd: S, to: *mut bf16, value: S::V, count: usize) {
        // SAFETY: the caller's.
        unsafe { simd.store_bf16(to, value, count) }
    }
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
        unsafe fn store_bf16(self, to: *mut bf16, value: Self::V, count: usize) {
            // SAFETY: as in `mul_add`; lanes that are masked out are not written.
            unsafe {
                let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(value));
                _mm256_mask_storeu_epi16(to.cast(), self.0.mask(count), rounded);
            }
        }
    }
}

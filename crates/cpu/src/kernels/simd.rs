//! Sixteen floats at a time, on every level: what the hand-written kernels are made of.
//!
//! The portable version is an array, which the compiler turns into whatever vectors there are.

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
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

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
}

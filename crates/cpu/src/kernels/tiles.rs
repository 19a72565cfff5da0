//! Products of tiles, matrices that lie whole in registers, as AMX has them (Intel 64 and IA-32 Architectures
//! Software Developer's Manual, volume 1, chapter 18, and `TDPBF16PS` in volume 2).
//!
//! A tile has up to sixteen rows of sixteen words. Words of what is multiplied are pairs of bf16, those of sums
//! are f32: `sums[i][j] += a[i][k] · b[k][j]`, the dot product of two pairs.
//!
//! The compiler knows no tiles on stable Rust, so the loop over products is inline assembly, whole in one block:
//! no tile outlives it. What stays is how large tiles are, for as long as a [`Configured`](Tiles::Configured) lives:
//! nothing that is compiled for other code, of Rust or of the C library, configures tiles.

#[cfg(target_arch = "x86_64")]
pub(crate) use self::amx::Amx;

/// Rows of a tile, and words of a row, at most.
pub(crate) const SIDE: usize = 16;

/// The sizes of tiles that are multiplied.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "there are none"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Rows of the first, and of the sums.
    pub(crate) rows: usize,
    /// Words of the first's rows, and rows of the second.
    pub(crate) depth: usize,
    /// Words of the second's rows, and sums of a row.
    pub(crate) columns: usize,
}

#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "there are none"))]
impl Sizes {
    fn are_valid(self) -> bool {
        [self.rows, self.depth, self.columns].iter().all(|side| (1..=SIDE).contains(side))
    }
}

/// Two tiles by two others, summed over all steps from all starts.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "there are none"))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product<'a> {
    /// The first word of each first tile.
    pub(crate) a: [*const f32; 2],
    /// The first word of each second tile.
    pub(crate) b: [*const f32; 2],
    /// Words from one row to the next, of first and of second tiles.
    pub(crate) pitch: [usize; 2],
    /// How many words further on the steps begin, of first and of second tiles.
    pub(crate) starts: &'a [[usize; 2]],
    /// Steps from each start.
    pub(crate) steps: usize,
    /// Words from one step to the next.
    pub(crate) advance: [usize; 2],
}

/// Sums of the tiles of a product: those of the first tile `i` and the second tile `j` are number `2 i + j`, in rows of
/// [`SIDE`] floats.
#[repr(C, align(64))]
pub(crate) struct Sums(pub(crate) [[f32; SIDE * SIDE]; 4]);

impl Sums {
    /// A place for them.
    pub(crate) fn new() -> Self {
        Sums([[0.0; SIDE * SIDE]; 4])
    }
}

/// What multiplies tiles.
pub(crate) trait Tiles: Copy {
    /// A thread that is ready to.
    type Configured: Multiply;

    /// Readies this thread for tiles of these sizes; it is no longer ready for any others, nor for these once what
    /// is given, or what another call gives, is dropped.
    fn configure(self, sizes: Sizes) -> Self::Configured;
}

/// A thread that is ready for tiles of some sizes.
pub(crate) trait Multiply {
    /// Writes the sums.
    ///
    /// # Safety
    /// The tiles of all steps from all starts may be read, in the sizes that the thread is ready for; there is at
    /// least one start and one step.
    unsafe fn sum(&self, product: &Product<'_>, sums: &mut Sums);
}

/// The largest part of so many words, as many as a tile is deep, that they can be cut into without a rest.
pub(crate) fn even_depth(words: usize) -> usize {
    (1..=SIDE).rev().find(|&depth| words.is_multiple_of(depth)).unwrap_or(1)
}

#[cfg(target_arch = "x86_64")]
mod amx {
    use std::arch::asm;
    use std::marker::PhantomData;
    use std::mem::offset_of;

    use super::{Multiply, Product, Sizes, Sums, Tiles};

    /// The right to use tiles: holding one is the proof that this process has it.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Amx(());

    impl Amx {
        /// The right to use tiles, where the processor has them and the operating system grants it.
        #[cfg(target_os = "linux")]
        pub(crate) fn request() -> Option<Self> {
            use std::arch::x86_64::{__cpuid, __cpuid_count};
            use std::sync::LazyLock;

            static GRANTED: LazyLock<bool> = LazyLock::new(|| {
                if cfg!(miri) {
                    // It interprets no assembly.
                    return false;
                }
                // Leaf 7 of cpuid: bit 22 of edx is AMX-BF16, bit 24 is AMX-TILE.
                const WANTED: u32 = 1 << 22 | 1 << 24;
                if __cpuid(0).eax < 7 || __cpuid_count(7, 0).edx & WANTED != WANTED {
                    return false;
                }
                // `ARCH_REQ_XCOMP_PERM` of <asm/prctl.h>, for the state component 18, the tiles' data
                // (Documentation/arch/x86/xstate.rst of Linux).
                const REQUEST: libc::c_ulong = 0x1023;
                const TILE_DATA: libc::c_ulong = 18;
                // SAFETY: the call takes two numbers and no memory; it grants this process, with all its
                // threads, a larger register state or fails.
                unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST, TILE_DATA) == 0 }
            });
            GRANTED.then_some(Amx(()))
        }

        /// It is not known how another operating system grants it.
        #[cfg(not(target_os = "linux"))]
        pub(crate) fn request() -> Option<Self> {
            None
        }
    }

    /// What `ldtilecfg` reads.
    #[repr(C, align(64))]
    struct Configuration {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }

    /// A thread that is ready for tiles of some sizes, until this is dropped.
    #[derive(Debug)]
    pub(crate) struct Configured {
        /// Another thread is not ready.
        thread: PhantomData<*const ()>,
    }

    impl Tiles for Amx {
        type Configured = Configured;

        fn configure(self, sizes: Sizes) -> Configured {
            assert!(sizes.are_valid(), "no tile has the sizes {sizes:?}");
            let Sizes { rows, depth, columns } = sizes;
            let mut configuration = Configuration {
                palette: 1,
                start_row: 0,
                reserved: [0; 14],
                row_bytes: [0; 16],
                rows: [0; 16],
            };
            // Four tiles of sums, two first and two second ones.
            let sides = [[rows, columns]; 4].into_iter().chain([[rows, depth]; 2]);
            for (tile, [rows, words]) in sides.chain([[depth, columns]; 2]).enumerate() {
                configuration.rows[tile] = rows as u8;
                configuration.row_bytes[tile] = 4 * words as u16;
            }
            // SAFETY: an `Amx` is made only where the machine has the instruction, which reads the 64 bytes of
            // `configuration`; its sizes are what palette 1 allows. The compiler itself uses no tile.
            unsafe {
                asm!(
                    "ldtilecfg [{configuration}]",
                    configuration = in(reg) &raw const configuration,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack, readonly, preserves_flags),
                );
            }
            Configured { thread: PhantomData }
        }
    }

    impl Drop for Configured {
        fn drop(&mut self) {
            // SAFETY: this thread was configured, so the machine has the instruction.
            unsafe {
                asm!(
                    "tilerelease",
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack, nomem, preserves_flags),
                );
            }
        }
    }

    /// What of a product the loop reads from memory.
    #[repr(C)]
    struct Job {
        a: [*const f32; 2],
        b: [*const f32; 2],
        /// In bytes.
        advance: [usize; 2],
        steps: usize,
    }

    impl Multiply for Configured {
        #[inline(always)]
        unsafe fn sum(&self, product: &Product<'_>, sums: &mut Sums) {
            let Product { a, b, pitch, starts, steps, advance } = *product;
            let job = Job { a, b, advance: advance.map(|words| 4 * words), steps };
            // SAFETY: the thread is configured, with tmm0 to tmm3 for sums, tmm4 and tmm5 for first and tmm6 and
            // tmm7 for second tiles, which the caller lets read. `starts` has as many pairs of numbers as are
            // read, one at least; each of the four tiles of sums is written to its 16 rows of 64 bytes.
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    // From each start on:
                    "2:",
                    "mov {left}, qword ptr [{start}]",
                    "mov {a0}, qword ptr [{job} + {a}]",
                    "mov {a1}, qword ptr [{job} + {a} + 8]",
                    "lea {a0}, [{a0} + 4 * {left}]",
                    "lea {a1}, [{a1} + 4 * {left}]",
                    "mov {left}, qword ptr [{start} + 8]",
                    "mov {b0}, qword ptr [{job} + {b}]",
                    "mov {b1}, qword ptr [{job} + {b} + 8]",
                    "lea {b0}, [{b0} + 4 * {left}]",
                    "lea {b1}, [{b1} + 4 * {left}]",
                    "mov {left}, qword ptr [{job} + {steps}]",
                    // Each step:
                    "3:",
                    "tileloadd tmm4, [{a0} + {a_pitch} * 1]",
                    "tileloadd tmm6, [{b0} + {b_pitch} * 1]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{b1} + {b_pitch} * 1]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm5, [{a1} + {a_pitch} * 1]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "add {a0}, qword ptr [{job} + {advance}]",
                    "add {a1}, qword ptr [{job} + {advance}]",
                    "add {b0}, qword ptr [{job} + {advance} + 8]",
                    "add {b1}, qword ptr [{job} + {advance} + 8]",
                    "dec {left}",
                    "jnz 3b",
                    "add {start}, 16",
                    "dec {starts}",
                    "jnz 2b",
                    "mov {left}, 64",
                    "tilestored [{sums} + {left} * 1], tmm0",
                    "tilestored [{sums} + {left} * 1 + 1024], tmm1",
                    "tilestored [{sums} + {left} * 1 + 2048], tmm2",
                    "tilestored [{sums} + {left} * 1 + 3072], tmm3",
                    job = in(reg) &raw const job,
                    a = const offset_of!(Job, a),
                    b = const offset_of!(Job, b),
                    advance = const offset_of!(Job, advance),
                    steps = const offset_of!(Job, steps),
                    a_pitch = in(reg) 4 * pitch[0],
                    b_pitch = in(reg) 4 * pitch[1],
                    start = inout(reg) starts.as_ptr() => _,
                    starts = inout(reg) starts.len() => _,
                    sums = in(reg) sums.0.as_mut_ptr(),
                    a0 = out(reg) _,
                    a1 = out(reg) _,
                    b0 = out(reg) _,
                    b1 = out(reg) _,
                    left = out(reg) _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    }
}

/// On other processors there is no such right.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Debug, Clone, Copy)]
pub(crate) enum Amx {}

#[cfg(not(target_arch = "x86_64"))]
impl Amx {
    pub(crate) fn request() -> Option<Self> {
        None
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Tiles for Amx {
    type Configured = Self;

    fn configure(self, _: Sizes) -> Self {
        self
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Multiply for Amx {
    unsafe fn sum(&self, _: &Product<'_>, _: &mut Sums) {
        match *self {}
    }
}

/// What the manual says of these instructions, so that what is made of them is tested on every machine.
#[cfg(test)]
pub(crate) mod model {
    use half::bf16;

    use super::*;

    /// A processor with tiles.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Model;

    impl Tiles for Model {
        type Configured = Sizes;

        fn configure(self, sizes: Sizes) -> Sizes {
            assert!(sizes.are_valid(), "{sizes:?}");
            sizes
        }
    }

    fn halves(word: f32) -> [f32; 2] {
        [word.to_bits() as u16, (word.to_bits() >> 16) as u16].map(|bits| {
            let number = bf16::from_bits(bits).to_f32();
            if number.is_subnormal() { 0.0 } else { number }
        })
    }

    /// The product of two words.
    pub(crate) fn dot(a: f32, b: f32) -> f32 {
        let ([a0, a1], [b0, b1]) = (halves(a), halves(b));
        a0 * b0 + a1 * b1
    }

    /// Small whole numbers, sums of products of which are exact.
    pub(crate) fn whole_numbers(count: usize, seed: u32) -> Vec<bf16> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            bf16::from_f32((state >> 24) as f32 % 17.0 - 8.0)
        };
        (0..count).map(|_| next()).collect()
    }

    /// The same as words.
    pub(crate) fn whole_words(count: usize, seed: u32) -> Vec<f32> {
        let pairs = whole_numbers(2 * count, seed);
        let word =
            |pair: &[bf16]| u32::from(pair[0].to_bits()) | u32::from(pair[1].to_bits()) << 16;
        pairs.chunks_exact(2).map(|pair| f32::from_bits(word(pair))).collect()
    }

    impl Multiply for Sizes {
        unsafe fn sum(&self, product: &Product<'_>, sums: &mut Sums) {
            let Product { a, b, pitch, starts, steps, advance } = *product;
            for (tile, sums) in sums.0.iter_mut().enumerate() {
                let (a, b) = (a[tile / 2], b[tile % 2]);
                let elements =
                    (0..self.rows).flat_map(|row| (0..self.columns).map(move |c| (row, c)));
                for (row, column) in elements {
                    let mut sum = 0.0;
                    for start in starts {
                        for step in 0..steps {
                            let at = [0, 1].map(|i| start[i] + step * advance[i]);
                            // The products of first and those of second numbers are added for themselves.
                            let mut parts = [0.0f32; 2];
                            for k in 0..self.depth {
                                // SAFETY: the caller's.
                                let (a, b) = unsafe {
                                    (
                                        a.add(at[0] + row * pitch[0] + k).read(),
                                        b.add(at[1] + k * pitch[1] + column).read(),
                                    )
                                };
                                let (a, b) = (halves(a), halves(b));
                                parts = [0, 1].map(|i| a[i].mul_add(b[i], parts[i]));
                            }
                            sum += parts[0] + parts[1];
                        }
                    }
                    sums[row * SIDE + column] = sum;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::model::Model;
    use super::*;

    #[test]
    fn words_are_cut_without_a_rest() {
        let depths = [1, 2, 14, 16, 17, 22, 28, 64, 97, 264].map(even_depth);
        assert_eq!(depths, [1, 2, 14, 16, 1, 11, 14, 16, 1, 12]);
    }

    /// Pairs of bf16 of all kinds of sizes, none of them subnormal, and with exponents that let no product be.
    fn words(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut half = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) & 0x83ff | 0x3c00
        };
        (0..count).map(|_| f32::from_bits(half() | half() << 16)).collect()
    }

    /// Where the machine has tiles, they are what the model says. In what order a tile adds its products, Intel's
    /// manual and its guide to intrinsics do not agree.
    #[test]
    fn tiles_are_what_their_model_is() {
        let Some(amx) = Amx::request() else { return };
        let mut seed = 1;
        for sizes in [[16, 16, 16], [1, 1, 1], [7, 14, 3], [16, 4, 9], [5, 16, 16]] {
            let [rows, depth, columns] = sizes;
            let sizes = Sizes { rows, depth, columns };
            seed += 1;
            let (a, b) = (words(4096, seed), words(8192, seed + 100));
            let product = Product {
                a: [a.as_ptr(), a[40..].as_ptr()],
                b: [b.as_ptr(), b[64..].as_ptr()],
                pitch: [depth + 3, 32],
                starts: &[[0, 0], [900, 2200], [31, 1]],
                steps: 3,
                advance: [depth * 2, depth * 32],
            };
            let (mut found, mut expected) = (Sums::new(), Sums::new());
            // SAFETY: the farthest word of `a` is below 900 + 40 + 64 + 15 * 19 + 16, that of `b` below
            // 2200 + 64 + 1024 + 15 * 32 + 16.
            unsafe {
                amx.configure(sizes).sum(&product, &mut found);
                Model.configure(sizes).sum(&product, &mut expected);
            }
            let [found, expected] = [&found, &expected].map(|sums| sums.0.as_flattened());
            let largest = expected.iter().fold(0.0f32, |max, sum| max.max(sum.abs()));
            assert!(largest > 0.0);
            for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
                let is_near = (found - expected).abs() <= 1e-6 * largest;
                assert!(is_near, "{sizes:?}: {at} {found} {expected}");
            }
        }
    }
}

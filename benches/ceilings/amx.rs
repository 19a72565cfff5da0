//! The peak of bf16 dot products in AMX tiles (Intel 64 and IA-32 Architectures Software Developer's
//! Manual, volume 1, chapter 18), from tiles that stay in their registers.
//!
//! The compiler knows no tiles on stable Rust, so the loop is inline assembly, whole in one block:
//! no tile outlives it.

use std::arch::asm;

use ferrotape::cpu::Level;

/// Dot products of each accumulator in one [`pass`](Tiles::pass).
const ROUNDS: usize = 20_000;

/// Accumulators: of the eight tiles, two hold what is multiplied.
const ACCUMULATORS: usize = 6;

/// Rows of a tile.
const ROWS: usize = 16;

/// Bytes of a row.
const ROW_BYTES: usize = 64;

/// Every element of both factors, a bf16: 2^-8.
const ELEMENT: u16 = 0x3b80;

/// The right to use tiles in this process.
#[derive(Debug, Clone, Copy)]
pub struct Tiles(());

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// A tile in memory.
#[repr(align(64))]
struct Tile<T>(T);

impl Tiles {
    /// The right to use tiles, where the processor has them and the operating system grants it.
    ///
    /// ```
    /// use ferrotape_benches::ceilings::amx::Tiles;
    ///
    /// if let Some(tiles) = Tiles::request() {
    ///     assert!(tiles.pass() > 0.0);
    /// }
    /// ```
    #[must_use]
    pub fn request() -> Option<Self> {
        Level::Amx.is_available().then_some(Tiles(()))
    }

    /// Floating-point operations of one pass on one thread: tiles of 16 x 32 and 32 x 16 numbers.
    #[must_use]
    pub fn flops() -> u64 {
        (2 * ROUNDS * ACCUMULATORS * ROWS * 16 * 32) as u64
    }

    /// Adds the product of two tiles to six others over and over; gives an element of the first.
    #[must_use]
    pub fn pass(self) -> f32 {
        self.run(ROUNDS)
    }

    fn run(self, rounds: usize) -> f32 {
        if rounds == 0 {
            return 0.0;
        }
        let mut configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        configuration.row_bytes[..8].fill(ROW_BYTES as u16);
        configuration.rows[..8].fill(ROWS as u8);
        let factor = Tile([ELEMENT; ROWS * ROW_BYTES / 2]);
        let mut sum = Tile([0.0f32; ROWS * ROW_BYTES / 4]);
        // SAFETY: a `Tiles` exists only where the processor has these instructions and the operating
        // system saves their registers. `configuration` is the 64 bytes that `ldtilecfg` reads, with
        // sizes that palette 1 allows; `factor` and `sum` are the 16 rows of 64 bytes that the loads
        // read and the store writes. The compiler itself uses no tile, and `tilerelease` leaves them
        // as they were found.
        unsafe {
            asm!(
                "ldtilecfg [{configuration}]",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "tilezero tmm4",
                "tilezero tmm5",
                "tileloadd tmm6, [{factor} + {pitch} * 1]",
                "tileloadd tmm7, [{factor} + {pitch} * 1]",
                "2:",
                "tdpbf16ps tmm0, tmm6, tmm7",
                "tdpbf16ps tmm1, tmm6, tmm7",
                "tdpbf16ps tmm2, tmm6, tmm7",
                "tdpbf16ps tmm3, tmm6, tmm7",
                "tdpbf16ps tmm4, tmm6, tmm7",
                "tdpbf16ps tmm5, tmm6, tmm7",
                "dec {rounds}",
                "jnz 2b",
                "tilestored [{sum} + {pitch} * 1], tmm0",
                "tilerelease",
                configuration = in(reg) &raw const configuration,
                factor = in(reg) factor.0.as_ptr(),
                sum = in(reg) sum.0.as_mut_ptr(),
                pitch = in(reg) ROW_BYTES,
                rounds = inout(reg) rounds => _,
                options(nostack),
            );
        }
        sum.0[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_the_sum_of_all_dot_products() {
        // Where the machine has no tiles, there is no row either.
        let Some(tiles) = Tiles::request() else { return };
        // 32 products of 2^-8 with itself are 2^-11 a round.
        assert_eq!(tiles.run(1), 1.0 / 2048.0);
        assert_eq!(tiles.run(3000), 3000.0 / 2048.0);
    }
}

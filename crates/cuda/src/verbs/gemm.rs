//! Products of matrices: by cuBLASLt where it is there and takes operands that lie so, else by tiles.

use ferrotape_backend::{Array, DType, Result, check};

use crate::Cuda;
use crate::args::Args;
use crate::kernel::{Kernel, Source};
use crate::library::{Lt, Matrix, Product, WORKSPACE};
use crate::machine::Grid;
use crate::memory::Operand;
use crate::queue::Command;

/// The tile loop and the product of matrices in memory.
const GEMM: Source = Source {
    name: "gemm",
    text: concat!(include_str!("../../kernels/tile.cuh"), include_str!("../../kernels/gemm.cu")),
};

/// Results of a tile along each side.
const TILE: usize = 64;

/// The blocks of a launch of so many matrices of results.
pub(crate) fn tiles(m: usize, n: usize, matrices: usize) -> Grid {
    let blocks = m.div_ceil(TILE) * n.div_ceil(TILE) * matrices;
    Grid { blocks: [blocks as u32, 1, 1], threads: [256, 1], shared: 0 }
}

/// See [`ferrotape_backend::Backend::gemm`].
pub(crate) fn gemm(cuda: &Cuda, a: &Array, b: &Array, c: &Array, accumulate: bool) -> Result<()> {
    let sizes = check::gemm(a, b, c)?;
    cuda.open([a, b], [c], |[a, b], [c]| {
        let [batch, m, _, n] = sizes;
        match batch * m * n {
            0 => Ok(()),
            _ => multiply(cuda, sizes, [a, b, c], accumulate),
        }
    })
}

fn multiply(
    cuda: &Cuda,
    [batch, m, k, n]: [usize; 4],
    [a, b, c]: [Operand<'_>; 3],
    accumulate: bool,
) -> Result<()> {
    // A batch of one is used for all.
    let strides = |operand: Operand<'_>| {
        let [outer, row, column] = operand.strides::<3>();
        [if operand.layout.shape()[0] == 1 { 0 } else { outer }, row, column]
    };
    if let Some(lt) = cuda.machine.lt()? {
        let matrix = |operand: Operand<'_>| {
            let [outer, row, column] = strides(operand);
            Matrix { address: operand.address, strides: [row, column, outer] }
        };
        let product = Product {
            dtype: a.dtype,
            result: c.dtype,
            batch,
            sizes: [m, k, n],
            a: matrix(a),
            b: matrix(b),
            c: matrix(c),
            accumulate,
        };
        if by_library(cuda, lt, &product)? {
            return Ok(());
        }
    }
    let args = Args::new()
        .pointer(a.address)
        .pointer(b.address)
        .pointer(c.address)
        .size(m)
        .size(n)
        .size(k)
        .longs(strides(a))
        .longs(strides(b))
        .longs(strides(c))
        .int(i32::from(accumulate));
    let kernel = Kernel::new(GEMM, "gemm").with_type("T", a.dtype).with_type("D", c.dtype);
    cuda.launch(&with_accumulator(kernel, a.dtype), tiles(m, n, batch), args)
}

/// Asks for a product by cuBLASLt; answers whether it takes it.
pub(super) fn by_library(cuda: &Cuda, lt: &Lt, product: &Product) -> Result<bool> {
    let workspace = cuda.scratch(WORKSPACE)?;
    match lt.product(product, workspace.address())? {
        None => Ok(false),
        Some(call) => cuda.queue.push(Command::Call(call)).map(|()| true),
    }
}

/// The type that is computed in must be known before the tile loop, which begins the source.
pub(crate) fn with_accumulator(kernel: Kernel, dtype: DType) -> Kernel {
    kernel.with_type("A", dtype.accumulator())
}

//! Matrix products: square ones, and those of the networks' linear layers in both directions.

use ferrotape::Result;
use ferrotape::prelude::*;
use ferrotape_benches::shapes::{Linear, linears};
use ferrotape_benches::{Session, Work, device};

fn main() -> Result<()> {
    let device = device::open()?;
    let mut session = Session::from_args();
    for dtype in [DType::F32, DType::BF16] {
        for n in [256, 1024, 2048] {
            let product = Product::new([n, n, n], dtype);
            product.row(&mut session, &device, &format!("gemm/n{n}/{dtype}"));
        }
    }
    for linear in linears()? {
        for dtype in [DType::F32, DType::BF16] {
            rows(&mut session, &device, &linear, dtype);
        }
    }
    session.finish();
    Ok(())
}

/// The products of a layer `y = x w^T` with `x [N, I]` and `w [O, I]`.
fn rows(session: &mut Session, device: &Device, linear: &Linear, dtype: DType) {
    let &Linear { ref layer, batch: n, inputs: i, outputs: o } = linear;
    let name = format!("linear/{layer}/b{n}/{dtype}");
    let forward = Product { transposed: [false, true], ..Product::new([n, i, o], dtype) };
    forward.row(session, device, &format!("{name}/forward"));
    let input_grad = Product::new([n, o, i], dtype);
    input_grad.row(session, device, &format!("{name}/input_grad"));
    let weight_grad = Product {
        // Gradients of weights leave their kernel in the accumulator's type.
        result: dtype.accumulator(),
        transposed: [true, false],
        ..Product::new([o, n, i], dtype)
    };
    weight_grad.row(session, device, &format!("{name}/weight_grad"));
}

/// `c = a b` with `a [M, K]` and `b [K, N]`.
struct Product {
    /// M, K and N.
    sizes: [usize; 3],
    factors: DType,
    result: DType,
    /// Which of `a` and `b` is the transpose of what lies in memory.
    transposed: [bool; 2],
}

impl Product {
    fn new(sizes: [usize; 3], dtype: DType) -> Self {
        Product { sizes, factors: dtype, result: dtype, transposed: [false; 2] }
    }

    fn row(&self, session: &mut Session, device: &Device, name: &str) {
        let &Product { sizes: [m, k, n], factors, result, transposed: [a, b] } = self;
        let matrix = |rows: usize, columns: usize, transposed: bool| match transposed {
            false => device::numbers(device, factors, [1, rows, columns]),
            true => device::numbers(device, factors, [1, columns, rows])?.permute(&[0, 2, 1]),
        };
        let bytes = (m * k + k * n) * factors.size() + m * n * result.size();
        session.row(
            name,
            Work::flops(2 * (m * k * n) as u64).with_bytes(bytes),
            || Ok((matrix(m, k, a)?, matrix(k, n, b)?, device::blank(device, result, [1, m, n])?)),
            |(a, b, c)| device.backend().gemm(a, b, c, false),
        );
    }
}

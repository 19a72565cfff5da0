//! The f32 matrix product's rate of the crates matrixmultiply and gemm, at square sizes.

use std::process::ExitCode;

use peer_harness::{Line, Modes, Options, Peer, Rate, Result, Row, Timing, measure};

const CRATES: &[&str] = &["matrixmultiply", "gemm"];

const ROWS: &[Modes] =
    &[("gemm/n256/f32", CRATES), ("gemm/n1024/f32", CRATES), ("gemm/n2048/f32", CRATES)];

/// The square matrices of one product.
struct Product {
    n: usize,
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Product {
    fn new(n: usize) -> Self {
        let a = (0..n * n).map(|i| (i % 13) as f32 * 0.125 - 0.75).collect();
        let b = (0..n * n).map(|i| (i % 11) as f32 * 0.125 - 0.625).collect();
        Self { n, a, b, c: vec![0.0; n * n] }
    }

    fn by_matrixmultiply(&mut self) {
        let (n, pitch) = (self.n, self.n as isize);
        let (a, b, c) = (self.a.as_ptr(), self.b.as_ptr(), self.c.as_mut_ptr());
        // SAFETY: `new` made the three buffers with n x n values each, in rows of n, and only c is
        // written, which this call alone borrows.
        unsafe {
            matrixmultiply::sgemm(n, n, n, 1.0, a, pitch, 1, b, pitch, 1, 0.0, c, pitch, 1);
        }
    }

    fn by_gemm(&mut self, threads: usize) {
        let parallelism = match threads {
            1 => gemm::Parallelism::None,
            n => gemm::Parallelism::Rayon(n),
        };
        let (n, pitch) = (self.n, self.n as isize);
        let (a, b, c) = (self.a.as_ptr(), self.b.as_ptr(), self.c.as_mut_ptr());
        // SAFETY: as above; gemm takes the column stride before the row stride.
        unsafe {
            gemm::gemm(
                n,
                n,
                n,
                c,
                1,
                pitch,
                false,
                a,
                1,
                pitch,
                b,
                1,
                pitch,
                0_f32,
                1_f32,
                false,
                false,
                false,
                parallelism,
            );
        }
    }
}

fn product(row: &Row, mode: &str, options: &Options) -> Result<Line> {
    if (row.phase.as_str(), row.dtype.as_str()) != ("gemm", "f32") {
        return Err("only gemm/nN/f32 is here".into());
    }
    let mut product = Product::new(row.size);
    // Both once, so that what is timed is known to be the same product.
    product.by_matrixmultiply();
    let first = product.c.clone();
    product.by_gemm(options.threads);
    let apart = first.iter().zip(&product.c).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    if apart > 0.05 {
        return Err(format!("the two products differ by {apart}").into());
    }
    let timing = match mode {
        "matrixmultiply" => measure(options.quick, || product.by_matrixmultiply()),
        "gemm" => measure(options.quick, || product.by_gemm(options.threads)),
        other => return Err(format!("there is no mode {other}").into()),
    };
    Ok(line(&row.name(), mode, options).measured(rate(row.size, &timing), &timing))
}

/// 2 n^3 operations a product.
fn rate(n: usize, timing: &Timing) -> Rate {
    Rate { value: 2.0 * (n as f64).powi(3) / 1e6 / timing.median_ms, unit: "GF/s" }
}

/// The crate is the peer, and it has one mode.
fn line(name: &str, mode: &str, options: &Options) -> Line {
    let version = if mode == "gemm" { "0.19.0" } else { "0.3.11" };
    Line::new("crates", version, mode, name, options)
}

fn main() -> ExitCode {
    let failed = |name: &str, mode: &str, options: &Options, why: &str| {
        line(name, mode, options).failed("GF/s", why)
    };
    Peer { rows: ROWS, measure: product, failed }.main()
}

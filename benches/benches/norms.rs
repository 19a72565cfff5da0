//! Batch norm at every distinct shape of the residual networks, by the device's verbs.
//!
//! `forward` is that of training, the batch's moments included; `inference` normalises by moments
//! that are known.

use ferrotape::Result;
use ferrotape::prelude::*;
use ferrotape_benches::shapes::{Maps, norms};
use ferrotape_benches::{Session, Work, device};

const EPS: f64 = 1e-5;

fn main() -> Result<()> {
    let device = device::open()?;
    let mut session = Session::from_args();
    for maps in norms()? {
        for dtype in [DType::F32, DType::BF16] {
            rows(&mut session, &device, &maps, dtype);
        }
    }
    session.finish();
    Ok(())
}

/// Everything that batch norm reads and writes.
struct Operands {
    x: Array,
    y: Array,
    gy: Array,
    mean: Array,
    var: Array,
    weight: Array,
    bias: Array,
}

impl Operands {
    fn new(device: &Device, shape: [usize; 4], dtype: DType) -> Result<Self> {
        let wide = dtype.accumulator();
        let each = |value| Array::full(device, wide, [shape[1]], value);
        Ok(Operands {
            x: device::images(device, dtype, shape)?,
            y: device::blank_images(device, dtype, shape)?,
            gy: device::images(device, dtype, shape)?,
            mean: each(0.0)?,
            var: each(1.0 / 3.0)?,
            weight: each(1.0)?,
            bias: each(0.0)?,
        })
    }
}

fn rows(session: &mut Session, device: &Device, maps: &Maps, dtype: DType) {
    let Maps { layer, shape } = maps;
    let name = format!("norm/{layer}/b{}/{dtype}", shape[0]);
    let backend = device.backend();
    let bytes = shape.iter().product::<usize>() * dtype.size();
    let setup = || Operands::new(device, *shape, dtype);
    session.row(&format!("{name}/forward"), Work::bytes(2 * bytes), setup, |all| {
        backend.channel_moments(&all.x, &mut all.mean, &mut all.var)?;
        let (stats, affine) = ([&all.mean, &all.var], Some([&all.weight, &all.bias]));
        backend.batch_norm(&all.x, stats, affine, EPS, &mut all.y)
    });
    session.row(&format!("{name}/inference"), Work::bytes(2 * bytes), setup, |all| {
        let (stats, affine) = ([&all.mean, &all.var], Some([&all.weight, &all.bias]));
        backend.batch_norm(&all.x, stats, affine, EPS, &mut all.y)
    });
    // Here y is the gradient of x, and the bias takes the gradient of itself.
    let backward = || {
        let all = setup()?;
        let weight_grad = all.weight.copy()?;
        Ok((all, weight_grad))
    };
    session.row(&format!("{name}/backward"), Work::bytes(3 * bytes), backward, |(all, gw)| {
        let stats = [&all.mean, &all.var];
        let (gx, gb) = (&mut all.y, &mut all.bias);
        backend.batch_norm_grad(&all.gy, &all.x, stats, Some(&all.weight), EPS, gx, gw, gb)
    });
}

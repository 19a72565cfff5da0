//! Every distinct pooling of the networks, forward and backward, by the device's verbs.

use ferrotape::Result;
use ferrotape::prelude::*;
use ferrotape_benches::shapes::{PoolKind, Pooling, poolings};
use ferrotape_benches::{Session, Work, device};

fn main() -> Result<()> {
    let device = device::open()?;
    let mut session = Session::from_args();
    for pooling in poolings()? {
        for dtype in [DType::F32, DType::BF16] {
            let name = format!("pool/{}/b{}/{dtype}", pooling.layer, pooling.x[0]);
            match pooling.kind {
                PoolKind::Maximum => maximum(&mut session, &device, &name, &pooling, dtype),
                PoolKind::Average => average(&mut session, &device, &name, &pooling, dtype),
            }
        }
    }
    session.finish();
    Ok(())
}

fn maximum(session: &mut Session, device: &Device, name: &str, pooling: &Pooling, dtype: DType) {
    let &Pooling { x, y, params, .. } = pooling;
    let backend = device.backend();
    // Read or written in either direction: the images, the pooled ones and where each came from.
    let index = y.iter().product::<usize>() * DType::I64.size();
    let work = Work::bytes(bytes(pooling, dtype) + index);
    let images = || device::images(device, dtype, x);
    let blank = |dtype, sizes| device::blank_images(device, dtype, sizes);
    session.row(
        &format!("{name}/forward"),
        work,
        || Ok((images()?, blank(dtype, y)?, blank(DType::I64, y)?)),
        |(x, y, index)| backend.max_pool2d(x, y, index, &params),
    );
    session.row(
        &format!("{name}/backward"),
        work,
        || {
            let (mut pooled, mut index) = (blank(dtype, y)?, blank(DType::I64, y)?);
            backend.max_pool2d(&images()?, &mut pooled, &mut index, &params)?;
            Ok((device::images(device, dtype, y)?, index, blank(dtype, x)?))
        },
        |(gy, index, gx)| backend.max_pool2d_grad(gy, index, gx),
    );
}

fn average(session: &mut Session, device: &Device, name: &str, pooling: &Pooling, dtype: DType) {
    let &Pooling { x, y, params, .. } = pooling;
    let backend = device.backend();
    let work = Work::bytes(bytes(pooling, dtype));
    let pair = |from, to| {
        Ok((device::images(device, dtype, from)?, device::blank_images(device, dtype, to)?))
    };
    session.row(
        &format!("{name}/forward"),
        work,
        || pair(x, y),
        |(x, y)| backend.avg_pool2d(x, y, &params),
    );
    session.row(
        &format!("{name}/backward"),
        work,
        || pair(y, x),
        |(gy, gx)| backend.avg_pool2d_grad(gy, gx, &params),
    );
}

/// Bytes of the images before and after.
fn bytes(pooling: &Pooling, dtype: DType) -> usize {
    let elements = |sizes: &[usize; 4]| sizes.iter().product::<usize>();
    (elements(&pooling.x) + elements(&pooling.y)) * dtype.size()
}

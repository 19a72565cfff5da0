//! Every distinct convolution of the networks: the forward pass and both gradients, by the device's
//! verbs, without a bias.

use ferrotape::Result;
use ferrotape::prelude::*;
use ferrotape_benches::shapes::{Convolution, convolutions};
use ferrotape_benches::{Session, Work, device};

fn main() -> Result<()> {
    let device = device::open()?;
    let mut session = Session::from_args();
    for convolution in convolutions()? {
        for dtype in [DType::F32, DType::BF16] {
            rows(&mut session, &device, &convolution, dtype);
        }
    }
    session.finish();
    Ok(())
}

fn rows(session: &mut Session, device: &Device, convolution: &Convolution, dtype: DType) {
    let Convolution { layer, x, w, y, params, reads_images } = convolution;
    let (x, w, y) = (*x, *w, *y);
    let name = format!("conv2d/{layer}/b{}/{dtype}", x[0]);
    // Gradients of weights leave their kernel in the accumulator's type.
    let wide = dtype.accumulator();
    let elements = |sizes: [usize; 4]| sizes.iter().product::<usize>();
    let work = |weight: DType| {
        let bytes = (elements(x) + elements(y)) * dtype.size() + elements(w) * weight.size();
        Work::flops(convolution.flops()).with_bytes(bytes)
    };
    let backend = device.backend();
    let images = |sizes| device::images(device, dtype, sizes);
    let blank = |sizes| device::blank_images(device, dtype, sizes);
    session.row(
        &format!("{name}/forward"),
        work(dtype),
        || Ok((images(x)?, device::numbers(device, dtype, w)?, blank(y)?)),
        |(x, w, y)| backend.conv2d(x, w, None, y, params),
    );
    if !reads_images {
        session.row(
            &format!("{name}/input_grad"),
            work(dtype),
            || Ok((images(y)?, device::numbers(device, dtype, w)?, blank(x)?)),
            |(gy, w, gx)| backend.conv2d_input_grad(gy, w, gx, params),
        );
    }
    session.row(
        &format!("{name}/weight_grad"),
        work(wide),
        || Ok((images(x)?, images(y)?, device::blank(device, wide, w)?)),
        |(x, gy, gw)| backend.conv2d_weight_grad(x, gy, gw, params),
    );
}

//! Activations, sums and dropout at shapes of the networks.
//!
//! Each is one program that writes into memory it is given; `_grad` is its gradient from what the
//! tape keeps. Dropout draws its mask, so it is measured as the tensor's operation.

use ferrotape::Result;
use ferrotape::backend::pointwise::{Compare, Expr, Program};
use ferrotape::backend::{Layout, Shape};
use ferrotape::prelude::*;
use ferrotape_benches::shapes::output_of;
use ferrotape_benches::{Session, Work, device};

fn main() -> Result<()> {
    let device = device::open()?;
    let mut session = Session::from_args();
    let [a, b] = [0, 1].map(Expr::input);
    let (zero, one) = (Expr::constant(0.0), Expr::constant(1.0));
    // As the activation has it: a NaN goes the way of positive numbers. The gradient is that by the
    // output, which is positive where the input was.
    let relu = ("relu", a.select(Compare::Le, &zero, &zero, &a));
    let relu_grad = ("relu_grad", &a * b.select(Compare::Le, &zero, &zero, &one));
    let tanh = ("tanh", a.tanh());
    let tanh_grad = ("tanh_grad", &a * (&one - &b * &b));
    let add = ("add", &a + &b);
    let sum = &a + &b;
    let add_relu = ("add_relu", sum.select(Compare::Le, &zero, &zero, &sum));
    for (layer, programs) in [
        ("lenet5.conv1", vec![tanh, tanh_grad]),
        ("vgg16.features.0", vec![relu.clone(), relu_grad.clone()]),
        ("resnet18.conv1", vec![relu.clone(), relu_grad.clone()]),
        ("resnet18.layer1.0.conv2", vec![relu.clone(), relu_grad.clone(), add.clone()]),
        ("resnet50.layer1.0.conv3", vec![relu, relu_grad, add, add_relu]),
    ] {
        let shape = output_of(layer)?;
        for dtype in [DType::F32, DType::BF16] {
            for (name, expression) in &programs {
                let name = format!("pointwise/{layer}/b{}/{dtype}/{name}", shape[0]);
                row(&mut session, &device, &name, expression, shape, dtype)?;
            }
        }
    }
    for layer in ["alexnet.features.12", "vgg16.classifier.0"] {
        for dtype in [DType::F32, DType::BF16] {
            dropout(&mut session, &device, layer, dtype)?;
        }
    }
    session.finish();
    Ok(())
}

/// A program at images of this shape, channels-last.
fn row(
    session: &mut Session,
    device: &Device,
    name: &str,
    expression: &Expr,
    shape: Shape,
    dtype: DType,
) -> Result<()> {
    let program = Program::new(std::slice::from_ref(expression));
    let layout = Layout::channels_last(shape)?;
    let work = Work::bytes((program.inputs() + 1) * shape.numel() * dtype.size());
    let setup = || {
        let inputs = (0..program.inputs()).map(|_| device::images(device, dtype, shape.nchw()?));
        Ok((inputs.collect::<Result<Vec<_>>>()?, Array::empty(device, dtype, layout)?))
    };
    session.row(name, work, setup, |(inputs, output)| {
        let inputs: Vec<&Array> = inputs.iter().collect();
        device.backend().pointwise(&program, &[], &inputs, &mut [output])
    });
    Ok(())
}

fn dropout(session: &mut Session, device: &Device, layer: &str, dtype: DType) -> Result<()> {
    let shape = output_of(layer)?;
    let name = format!("pointwise/{layer}/b{}/{dtype}/dropout", shape[0]);
    let setup = || Ok((Tensor::from(device::numbers(device, dtype, shape)?), 0));
    let work = Work::bytes(2 * shape.numel() * dtype.size());
    session.row(&name, work, setup, |(x, step)| {
        *step += 1;
        x.dropout(0.5, Rng::new(1).step(*step))
    });
    Ok(())
}

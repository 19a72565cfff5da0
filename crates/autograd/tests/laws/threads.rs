//! The same bits on any number of threads, on work that is large enough to be divided.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Conv2d, Device, Pool2d, Result, Rng};
use ferrotape_cpu::{Cpu, CpuOptions};
use ferrotape_gradcheck::strategy::Values;
use ferrotape_gradcheck::{Input, Options, check_same_bits};

fn input<const N: usize>(shape: [usize; N], seed: u64) -> Result<Input> {
    Input::new(shape, Values::Any.draw(shape.iter().product(), Rng::new(seed)))
}

fn same(
    source: &str,
    inputs: &[Input],
    op: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<(), Box<dyn std::error::Error>> {
    let cpu = |threads| Cpu::new(CpuOptions { threads: Some(threads), ..CpuOptions::default() });
    let devices = [Device::new(cpu(1)?), Device::new(cpu(2)?), Device::new(cpu(5)?)];
    Ok(check_same_bits(&devices, source, inputs, &Options::default(), op)?)
}

#[test]
fn convolution_has_the_same_bits_on_1_2_and_5_threads() -> Result<(), Box<dyn std::error::Error>> {
    let params = Conv2d { padding: [1, 1], ..Conv2d::default() };
    let inputs = [input([3, 6, 21, 19], 1)?, input([10, 6, 3, 3], 2)?, input([10], 3)?];
    same("conv2d", &inputs, |x| x[0].conv2d(&x[1], Some(&x[2]), &params))
}

#[test]
fn products_have_the_same_bits_on_1_2_and_5_threads() -> Result<(), Box<dyn std::error::Error>> {
    let inputs = [input([65, 70], 1)?, input([40, 70], 2)?, input([40], 3)?];
    same("linear", &inputs, |x| x[0].linear(&x[1], Some(&x[2])))
}

#[test]
fn sums_over_few_and_many_numbers_have_the_same_bits() -> Result<(), Box<dyn std::error::Error>> {
    let inputs = [input([7, 9, 33, 31], 1)?];
    same("sum", &inputs, |x| x[0].square()?.sum_all())?;
    same("mean", &inputs, |x| x[0].exp()?.mean(&[0, 2, 3], false))?;
    same("softmax", &inputs, |x| x[0].softmax(1))?;
    same("max_pool2d", &inputs, |x| x[0].max_pool2d(&Pool2d::new([2, 3])))?;
    let affine = [inputs[0].clone(), input([9], 2)?, input([9], 3)?];
    same("batch_norm", &affine, |x| Ok(x[0].batch_norm_train(Some([&x[1], &x[2]]), 1e-5)?.0))
}

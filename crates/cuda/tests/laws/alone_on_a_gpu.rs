//! What needs a GPU for itself: memory over many steps, memory that runs out, equal bits, sixteen-bit floats
//! beside f32, and the masks of the CPU.

use ferrotape_backend::reference::Reference;
use ferrotape_backend::{
    Array, Conv2d, DType, Device, ErrorKind, Layout, Random, Result, Rng, Shape,
};
use ferrotape_cuda::CudaOptions;

use crate::gpu;

fn shape(sizes: &[usize]) -> Shape {
    Shape::new(sizes).expect("a test's shapes are small")
}

fn draw(device: &Device, dtype: DType, sizes: &[usize], seed: u64) -> Result<Array> {
    let layout = Layout::contiguous(shape(sizes));
    let mut array = Array::empty(device, dtype, layout)?;
    let kind = Random::Uniform { low: -1.0, high: 1.0 };
    device.backend().random(kind, Rng::new(seed), &mut array)?;
    Ok(array)
}

/// A convolution, its gradients and a norm on channels-last images; what they gave.
fn step(device: &Device, dtype: DType, images: usize) -> Result<Vec<Array>> {
    let backend = device.backend();
    let x = draw(device, dtype, &[images, 16, 20, 20], 1)?.channels_last()?;
    let w = draw(device, dtype, &[24, 16, 3, 3], 2)?;
    let params = Conv2d { padding: [1, 1], ..Conv2d::default() };
    let blank =
        |dtype, sizes: &[usize]| Array::empty(device, dtype, Layout::channels_last(shape(sizes))?);
    let mut y = blank(dtype, &[images, 24, 20, 20])?;
    backend.conv2d(&x, &w, None, &mut y, &params)?;
    let (mut gx, mut gw) =
        (blank(dtype, &[images, 16, 20, 20])?, blank(DType::F32, &[24, 16, 3, 3])?);
    backend.conv2d_input_grad(&y, &w, &mut gx, &params)?;
    backend.conv2d_weight_grad(&x, &y, &mut gw, &params)?;
    let vector = || Array::empty(device, DType::F32, Layout::contiguous(shape(&[24])));
    let (mut mean, mut var) = (vector()?, vector()?);
    backend.channel_moments(&y, &mut mean, &mut var)?;
    let mut z = blank(dtype, &[images, 24, 20, 20])?;
    backend.batch_norm(&y, [&mean, &var], None, 1e-5, &mut z)?;
    Ok(vec![y, gx, gw, mean, var, z])
}

#[test]
fn ten_thousand_steps_of_changing_sizes_leave_no_memory() {
    let Some(device) = gpu(CudaOptions::default()) else { return };
    let run = |steps: usize| {
        for number in 0..steps {
            step(&device, DType::F32, 1 + number % 3).unwrap();
        }
        device.synchronize().unwrap();
        device.memory()
    };
    let early = run(30);
    let late = run(10_000);
    assert_eq!((early.live_bytes, late.live_bytes), (0, 0));
    assert_eq!(late.peak_bytes, early.peak_bytes);
    assert!(late.cached_bytes <= early.cached_bytes + (1 << 20), "{early:?} {late:?}");
}

#[test]
fn memory_that_runs_out_is_an_error_with_the_size_and_the_device_goes_on() {
    let Some(device) = gpu(CudaOptions::default()) else { return };
    let before = step(&device, DType::F32, 2).unwrap()[0].to_vec::<f32>().unwrap();
    let mut held = Vec::new();
    let error = loop {
        match Array::zeros(&device, DType::F32, [1 << 30]) {
            Ok(array) => held.push(array),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    let sentence = error.to_string();
    assert!(sentence.contains("4294967296 bytes") && sentence.contains("f32"), "{sentence}");
    drop(held);
    assert_eq!(step(&device, DType::F32, 2).unwrap()[0].to_vec::<f32>().unwrap(), before);
}

#[test]
fn two_deterministic_devices_give_the_same_bits() {
    let options = CudaOptions { deterministic: true, ..CudaOptions::default() };
    let (Some(one), Some(other)) = (gpu(options), gpu(options)) else { return };
    for dtype in [DType::F32, DType::BF16] {
        let bits = |device: &Device| -> Vec<Vec<f64>> {
            let results = step(device, dtype, 3).unwrap();
            results.iter().map(|array| array.to_f64_vec().unwrap()).collect()
        };
        assert_eq!(bits(&one), bits(&other), "{dtype}");
    }
}

#[test]
fn steps_that_are_replayed_give_the_bits_of_steps_that_are_not() {
    let eager = CudaOptions { eager: true, deterministic: true, ..CudaOptions::default() };
    let replayed = CudaOptions { eager: false, ..eager };
    let (Some(eager), Some(replayed)) = (gpu(eager), gpu(replayed)) else { return };
    let bits = |device: &Device| step(device, DType::F32, 2).unwrap()[1].to_vec::<f32>().unwrap();
    let expected = bits(&eager);
    for _ in 0..5 {
        assert_eq!(bits(&replayed), expected);
    }
}

#[test]
fn sixteen_bit_floats_stay_near_f32() {
    let Some(device) = gpu(CudaOptions::default()) else { return };
    let wide = step(&device, DType::F32, 2).unwrap();
    // Operands and results round to so many bits; sums of 144 products are kept in f32.
    for (dtype, unit) in [(DType::BF16, 1.0 / 256.0), (DType::F16, 1.0 / 2048.0)] {
        for (which, (wide, low)) in wide.iter().zip(step(&device, dtype, 2).unwrap()).enumerate() {
            let (wide, low) = (wide.to_f64_vec().unwrap(), low.to_f64_vec().unwrap());
            let norm = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
            let apart: Vec<f64> = wide.iter().zip(&low).map(|(a, b)| a - b).collect();
            let error = norm(&apart) / norm(&wide);
            assert!(error < 4.0 * unit, "{dtype}, result {which}: {error}");
        }
    }
}

#[test]
fn masks_and_uniform_draws_are_those_of_the_cpu() {
    let Some(device) = gpu(CudaOptions::default()) else { return };
    let reference = Device::new(Reference::new());
    for kind in [Random::Bernoulli { p: 0.3, value: 1.5 }, Random::Uniform { low: -2.0, high: 3.0 }]
    {
        for layout in [
            Layout::contiguous(shape(&[3, 5, 17, 9])),
            Layout::channels_last(shape(&[3, 5, 17, 9])).unwrap(),
        ] {
            let draw = |device: &Device| {
                let mut array = Array::empty(device, DType::F32, layout).unwrap();
                device.backend().random(kind, Rng::new(9).step(4), &mut array).unwrap();
                array.to_vec::<f32>().unwrap()
            };
            assert_eq!(draw(&device), draw(&reference));
        }
    }
}

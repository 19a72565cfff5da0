//! Work that is large enough to be cut gives the same bits with any number of threads, and what the
//! reference backend says.

use ferrotape_backend::pointwise::{Expr, Program};
use ferrotape_backend::reference::Reference;
use ferrotape_backend::{
    Array, Conv2d, CrossEntropy, DType, Device, Epilogue, Layout, Pool2d, Random, Reduce, Result,
    Rng, Shape, Taps,
};

use crate::devices;

/// Normally distributed numbers, the same on every device.
fn normal(device: &Device, dtype: DType, layout: Layout, name: &str) -> Result<Array> {
    let mut array = Array::empty(device, dtype, layout)?;
    let kind = Random::Normal { mean: 0.25, std: 1.0 };
    device.backend().random(kind, Rng::new(7).path(name), &mut array)?;
    Ok(array)
}

fn images(device: &Device, dtype: DType, sizes: [usize; 4], name: &str) -> Result<Array> {
    normal(device, dtype, Layout::channels_last(Shape::new(&sizes)?)?, name)
}

fn plain(device: &Device, dtype: DType, sizes: &[usize], name: &str) -> Result<Array> {
    normal(device, dtype, Layout::contiguous(Shape::new(sizes)?), name)
}

fn check(dtype: DType, tolerance: f64, run: impl Fn(&Device) -> Result<Vec<Array>>) {
    let values = |device: &Device| -> Vec<Vec<f64>> {
        let arrays = run(device).expect("the operands fit");
        arrays.iter().map(|a| a.to_f64_vec().expect("memory suffices")).collect()
    };
    let expected = values(&Device::new(Reference::new()));
    let alone: Vec<_> = devices(1).map(|(_, device)| values(&device)).collect();
    for (got, (level, _)) in alone.iter().zip(devices(1)) {
        for (output, (got, want)) in got.iter().zip(&expected).enumerate() {
            let scale = want.iter().fold(1e-30, |max: f64, v| max.max(v.abs()));
            for (at, (g, w)) in got.iter().zip(want).enumerate() {
                assert!(
                    (g - w).abs() <= tolerance * scale,
                    "{dtype} at level {level}: element {at} of output {output} is {g}, not {w}"
                );
            }
        }
    }
    for threads in [2, 5] {
        for (alone, (level, device)) in alone.iter().zip(devices(threads)) {
            assert!(values(&device) == *alone, "{threads} threads change bits at level {level}");
        }
    }
}

fn check_all(run: impl Fn(&Device, DType) -> Result<Vec<Array>>) {
    for (dtype, tolerance) in [(DType::F32, 3e-5), (DType::F64, 1e-12), (DType::BF16, 1e-2)] {
        check(dtype, tolerance, |device| run(device, dtype));
    }
}

fn convolutions(x: [usize; 4], w: [usize; 4], params: Conv2d) {
    check_all(|device, dtype| {
        let y = params.output_shape(x, w)?;
        let (x, weight) = (images(device, dtype, x, "x")?, plain(device, dtype, &w, "w")?);
        let bias = plain(device, dtype, &w[..1], "b")?;
        let gy = images(device, dtype, y, "gy")?;
        let mut y = images(device, dtype, y, "y")?;
        let (mut ended, mut gx, mut gw) = (y.copy()?, x.copy()?, weight.copy()?);
        let backend = device.backend();
        backend.conv2d(&x, &weight, Some(&bias), &mut y, &params)?;
        let epilogue = Epilogue { residual: Some(&gy), relu: true };
        backend.conv2d_act(&x, &weight, Some(&bias), epilogue, &mut ended, &params)?;
        backend.conv2d_input_grad(&gy, &weight, &mut gx, &params)?;
        backend.conv2d_weight_grad(&x, &gy, &mut gw, &params)?;
        Ok(vec![y, ended, gx, gw])
    });
}

#[test]
fn convolutions_of_few_channels() {
    let padding = [2, 2];
    convolutions([9, 1, 28, 28], [6, 1, 5, 5], Conv2d { padding, ..Conv2d::default() });
}

#[test]
fn convolutions_of_some_channels() {
    convolutions([9, 6, 14, 14], [16, 6, 5, 5], Conv2d::default());
}

#[test]
fn convolutions_with_stride_and_groups() {
    let params = Conv2d { stride: [2, 2], padding: [1, 1], dilation: [1, 1], groups: 2 };
    convolutions([3, 12, 21, 19], [34, 6, 3, 3], params);
}

/// No kernel row reaches the only row of the images, so that their gradient is a sum of nothing.
#[test]
fn convolutions_that_miss_the_images() {
    let params = Conv2d { stride: [3, 3], padding: [2, 0], dilation: [1, 1], groups: 1 };
    convolutions([1, 18, 1, 5], [6, 18, 2, 5], params);
    convolutions([1, 51, 1, 5], [3, 17, 2, 5], Conv2d { groups: 3, ..params });
}

#[test]
fn convolutions_of_narrow_and_of_wide_groups() {
    convolutions([5, 36, 14, 14], [9, 4, 5, 5], Conv2d { groups: 9, ..Conv2d::default() });
    let padding = [1, 1];
    convolutions(
        [2, 48, 13, 11],
        [70, 24, 3, 3],
        Conv2d { groups: 2, padding, ..Conv2d::default() },
    );
    convolutions([2, 40, 7, 9], [40, 2, 3, 3], Conv2d { groups: 20, padding, ..Conv2d::default() });
}

/// Those of 3 x 3 that are computed in tiles, with images that no tile divides.
#[test]
fn convolutions_in_tiles() {
    let padded = |padding| Conv2d { padding, ..Conv2d::default() };
    convolutions([2, 36, 13, 15], [70, 36, 3, 3], padded([1, 1]));
    convolutions([9, 40, 7, 7], [33, 40, 3, 3], padded([2, 1]));
    convolutions([3, 64, 12, 17], [96, 64, 3, 3], padded([0, 2]));
}

/// An even number of channels, which bf16 takes two at a time, with windows of every kind.
#[test]
fn convolutions_of_pairs_of_channels() {
    let params = |stride, padding, dilation| Conv2d { stride, padding, dilation, groups: 1 };
    convolutions([2, 34, 15, 13], [48, 34, 3, 3], params([2, 2], [1, 1], [1, 1]));
    convolutions([2, 10, 16, 11], [36, 10, 3, 3], params([1, 1], [2, 2], [2, 2]));
    convolutions([2, 22, 9, 14], [50, 22, 1, 1], params([2, 2], [0, 0], [1, 1]));
    convolutions([1, 3, 37, 41], [34, 3, 7, 7], params([2, 2], [3, 3], [1, 1]));
    convolutions([3, 6, 11, 7], [18, 6, 5, 2], params([1, 3], [0, 1], [2, 1]));
}

#[test]
fn convolutions_of_single_pixels() {
    convolutions([5, 33, 13, 17], [40, 33, 1, 1], Conv2d::default());
}

/// Weights of which a cache holds a part: tasks share the outputs, and what is laid out of inputs serves all of them,
/// some pixels at a time.
#[test]
fn convolutions_of_many_weights() {
    let stride = [2, 2];
    convolutions([2, 130, 13, 11], [128, 130, 3, 3], Conv2d { stride, ..Conv2d::default() });
    convolutions([3, 528, 5, 7], [272, 528, 1, 1], Conv2d::default());
    convolutions([1, 8192, 17, 17], [32, 8192, 1, 1], Conv2d::default());
}

#[test]
fn matrix_products() {
    let small = [[64, 400, 120], [120, 64, 400], [7, 1000, 300], [300, 129, 257]];
    for [m, k, n] in small.into_iter().chain([[130, 514, 260], [40, 1537, 290]]) {
        check_all(|device, dtype| {
            let a = plain(device, dtype, &[1, m, k], "a")?;
            let b = plain(device, dtype, &[1, n, k], "b")?.permute(&[0, 2, 1])?;
            let mut c = plain(device, dtype, &[1, m, n], "c")?;
            let mut plain_b = plain(device, dtype, &[1, m, n], "c")?;
            device.backend().gemm(&a, &b, &mut c, true)?;
            device.backend().gemm(&a, &b.contiguous()?, &mut plain_b, false)?;
            let mut transposed_b = plain(device, dtype, &[1, m, n], "c")?;
            device.backend().gemm(&a, &b, &mut transposed_b, false)?;
            let mut transposed_a = plain(device, dtype, &[1, m, n], "c")?;
            let a = a.permute(&[0, 2, 1])?.contiguous()?.permute(&[0, 2, 1])?;
            device.backend().gemm(&a, &b.contiguous()?, &mut transposed_a, false)?;
            let mut wide = plain(device, dtype.accumulator(), &[1, m, n], "c")?;
            device.backend().gemm(&a, &b, &mut wide, false)?;
            Ok(vec![c, plain_b, transposed_a, transposed_b, wide])
        });
    }
}

#[test]
fn pointwise_programs() {
    let (x, y) = (Expr::input(0), Expr::input(1));
    let program = Program::new(&[(&x * &y).tanh(), Expr::previous(1) + x.exp() * Expr::scalar(0)]);
    check_all(|device, dtype| {
        let x = images(device, dtype, [9, 17, 40, 40], "x")?;
        let channel = plain(device, dtype, &[17, 1, 1], "c")?;
        let (mut a, mut b) = (x.copy()?, images(device, dtype, [9, 17, 40, 40], "b")?);
        let outputs = &mut [&mut a, &mut b];
        device.backend().pointwise(&program, &[0.5], &[&x, &channel], outputs)?;
        Ok(vec![a, b])
    });
}

#[test]
fn reductions() {
    for target in [[1, 6, 1, 1], [1, 1, 1, 1], [40, 1, 70, 70], [40, 6, 1, 1], [1, 6, 70, 70]] {
        for kind in [Reduce::Sum, Reduce::Max] {
            check_all(|device, dtype| {
                let x = images(device, dtype, [40, 6, 70, 70], "x")?;
                let mut y = Array::zeros(device, dtype.accumulator(), target)?;
                let mut z = Array::zeros(device, dtype.accumulator(), target)?;
                device.backend().reduce(kind, &x, &mut y, None)?;
                device.backend().reduce(kind, &x.contiguous()?, &mut z, None)?;
                Ok(vec![y, z])
            });
        }
    }
}

#[test]
fn normalisation() {
    check_all(|device, dtype| {
        let wide = dtype.accumulator();
        let x = images(device, dtype, [20, 19, 30, 31], "x")?;
        let gy = images(device, dtype, [20, 19, 30, 31], "gy")?;
        let (weight, bias) = (plain(device, wide, &[19], "w")?, plain(device, wide, &[19], "b")?);
        let (mut mean, mut var) = (weight.copy()?, weight.copy()?);
        let (mut y, mut gx) = (x.copy()?, x.copy()?);
        let (mut gw, mut gb) = (weight.copy()?, weight.copy()?);
        let backend = device.backend();
        backend.channel_moments(&x, &mut mean, &mut var)?;
        backend.batch_norm(&x, [&mean, &var], Some([&weight, &bias]), 1e-5, &mut y)?;
        let stats = [&mean, &var];
        let weight = Some(&weight);
        backend.batch_norm_grad(&gy, &x, stats, weight, 1e-5, &mut gx, &mut gw, &mut gb)?;
        Ok(vec![mean, var, y, gx, gw, gb])
    });
}

/// Of channels that leave a vector nearly empty, and of some that fill several vectors and parts of another.
#[test]
fn pooling() {
    let params = Pool2d { kernel: [3, 2], stride: [2, 1], padding: [1, 0], ..Pool2d::new([3, 2]) };
    for channels in [17, 83] {
        check_all(|device, dtype| {
            let x = images(device, dtype, [20, channels, 28, 28], "x")?;
            let [h, w] = params.output_size([28, 28])?;
            let gy = images(device, dtype, [20, channels, h, w], "gy")?;
            let (mut max, mut value, mut average) = (gy.copy()?, gy.copy()?, gy.copy()?);
            let mut index = gy.cast(DType::I64)?;
            let (mut g_max, mut g_window, mut g_average) = (x.copy()?, x.copy()?, x.copy()?);
            let backend = device.backend();
            backend.max_pool2d(&x, &mut max, &mut index, &params)?;
            backend.max_pool2d_values(&x, &mut value, &params)?;
            backend.max_pool2d_grad(&gy, &index, &mut g_max)?;
            backend.max_pool2d_window_grad(&gy, &index, &mut g_window, &params)?;
            backend.avg_pool2d(&x, &mut average, &params)?;
            backend.avg_pool2d_grad(&gy, &mut g_average, &params)?;
            Ok(vec![max, index, value, g_max, g_window, average, g_average])
        });
    }
}

/// Copies into some channels of images, whose other channels stay what they are.
#[test]
fn slices_of_channels() {
    check_all(|device, dtype| {
        let whole = images(device, dtype, [9, 70, 31, 29], "whole")?;
        let part = images(device, dtype, [9, 33, 31, 29], "part")?;
        device.backend().copy(&part, &mut whole.narrow(1, 20, 33)?)?;
        let planes = plain(device, dtype, &[9, 17, 31, 29], "planes")?;
        device.backend().copy(&planes, &mut whole.narrow(1, 53, 17)?)?;
        Ok(vec![whole])
    });
}

#[test]
fn resampling() {
    // Rows first, columns first, along one axis only.
    for [h, w, oh, ow] in [[28, 28, 70, 60], [40, 90, 80, 9], [31, 33, 31, 17], [9, 400, 9, 400]] {
        check_all(|device, dtype| {
            let x = images(device, dtype, [5, 17, h, w], "x")?;
            let gy = images(device, dtype, [5, 17, oh, ow], "gy")?;
            let (mut y, mut gx) = (gy.copy()?, x.copy()?);
            let rows = Taps::linear(h, oh, false)?;
            let columns = match w == ow {
                true => Taps::sliding_mean(w, 5)?,
                false => Taps::average(w, ow)?,
            };
            let backend = device.backend();
            backend.resample2d(&x, &rows, &columns, &mut y)?;
            backend.resample2d(&gy, &rows.transposed(), &columns.transposed(), &mut gx)?;
            Ok(vec![y, gx])
        });
    }
}

#[test]
fn classification() {
    check_all(|device, dtype| {
        let wide = dtype.accumulator();
        let x = plain(device, dtype, &[700, 103], "x")?;
        let targets: Vec<i64> = (0..700).map(|n| n * 31 % 103).collect();
        let targets = Array::from_slice(device, &targets, [700])?;
        let params = CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::default() };
        let gloss = plain(device, wide, &[700], "gloss")?;
        let (mut loss, mut gx) = (gloss.copy()?, x.copy()?);
        let (mut p, mut log_p, mut gp) = (x.copy()?, x.copy()?, x.copy()?);
        let backend = device.backend();
        backend.cross_entropy(&x, &targets, &mut loss, &params)?;
        backend.cross_entropy_grad(&gloss, &x, &targets, &mut gx, &params)?;
        backend.softmax(&x, &mut p, 1, false)?;
        backend.softmax(&x, &mut log_p, 0, true)?;
        backend.softmax_grad(&x, &p, &mut gp, 1, false)?;
        Ok(vec![loss, gx, p, log_p, gp])
    });
}

#[test]
fn random_numbers() {
    check_all(|device, dtype| {
        let x = images(device, dtype, [4, 5, 40, 40], "x")?;
        let mut y = plain(device, dtype, &[100_001], "y")?;
        let kind = Random::Bernoulli { p: 0.3, value: 2.0 };
        device.backend().random(kind, Rng::new(1), &mut y)?;
        Ok(vec![x, y])
    });
}

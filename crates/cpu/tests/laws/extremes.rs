//! Attributes that are valid and absurd.

use ferrotape_backend::reference::Reference;
use ferrotape_backend::{Array, Conv2d, DType, Device};

use crate::devices;

#[test]
fn a_window_that_reaches_far_past_the_image_meets_padding_only() {
    let params = Conv2d {
        padding: [1 << 61, 0],
        dilation: [(1 << 62) - 1, 1],
        stride: [2, 1],
        ..Conv2d::default()
    };
    for (level, device) in devices(1) {
        let full = |shape: [usize; 4]| Array::full(&device, DType::F32, shape, 1.0).unwrap();
        let (x, w) = (full([1, 4, 1, 1]), full([1, 4, 2, 1]));
        let (mut y, mut gx, mut gw) = (full([1, 1, 1, 1]), full([1, 4, 1, 1]), full([1, 4, 2, 1]));
        let gy = full([1, 1, 1, 1]);
        let backend = device.backend();
        backend.conv2d(&x, &w, None, &mut y, &params).unwrap();
        backend.conv2d_input_grad(&gy, &w, &mut gx, &params).unwrap();
        backend.conv2d_weight_grad(&x, &gy, &mut gw, &params).unwrap();
        for array in [y, gx, gw] {
            let values = array.to_vec::<f32>().unwrap();
            assert!(values.iter().all(|&value| value == 0.0), "{level}: {values:?}");
        }
    }
}

/// The kernels for few rows read a matrix along its columns where it lies so. Its copy in f32 lies otherwise if all
/// columns are one.
#[test]
fn a_matrix_whose_columns_are_one_column_is_multiplied_in_every_type() {
    let (k, n) = (16, 2);
    let values = |count: usize| (0..count).map(|i| (i % 5) as f64 - 1.5).collect::<Vec<_>>();
    let product = |device: &Device, dtype: DType| {
        let of = |count: usize, shape: [usize; 3]| {
            Array::from_f64(device, &values(count), dtype, shape).unwrap()
        };
        let (a, column) = (of(3 * k, [1, 3, k]), of(k, [1, k, 1]));
        let b = column.broadcast_to([1, k, n]).unwrap();
        let mut c = of(3 * n, [1, 3, n]);
        device.backend().gemm(&a, &b, &mut c, false).unwrap();
        c.to_f64_vec().unwrap()
    };
    let reference = Device::new(Reference::new());
    for (level, device) in devices(1) {
        for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
            assert_eq!(product(&device, dtype), product(&reference, dtype), "{level} {dtype}");
        }
    }
}

/// Tiles add inputs and subtract them again; one that is no number shall reach the outputs that see it, and no
/// other.
#[test]
fn a_nan_reaches_the_outputs_of_its_windows_and_no_other() {
    let params = Conv2d { padding: [1, 1], ..Conv2d::default() };
    let reached = |device: &Device| {
        let mut values = vec![1.0f32; 32 * 17 * 19];
        let at = |row: usize, column: usize| 5 * 17 * 19 + row * 19 + column;
        (values[at(6, 7)], values[at(16, 0)]) = (f32::NAN, f32::NAN);
        let x = Array::from_slice(device, &values, [1, 32, 17, 19]).unwrap();
        let w = Array::full(device, DType::F32, [32, 32, 3, 3], 0.5).unwrap();
        let mut y = Array::full(device, DType::F32, [1, 32, 17, 19], 0.0).unwrap();
        let mut gx = x.copy().unwrap();
        device.backend().conv2d(&x, &w, None, &mut y, &params).unwrap();
        device.backend().conv2d_input_grad(&x, &w, &mut gx, &params).unwrap();
        [y, gx].map(|array| {
            let values = array.to_vec::<f32>().unwrap();
            values.into_iter().map(f32::is_nan).collect::<Vec<_>>()
        })
    };
    let expected = reached(&Device::new(Reference::new()));
    assert_eq!(expected[0].iter().filter(|&&is_nan| is_nan).count(), 32 * (9 + 4));
    for (level, device) in devices(1) {
        assert!(reached(&device) == expected, "{level}");
    }
}

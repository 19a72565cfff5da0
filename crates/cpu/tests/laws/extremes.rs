//! Attributes that are valid and absurd.

use ferrotape_backend::{Array, Conv2d, DType};

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

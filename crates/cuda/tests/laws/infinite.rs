//! Statistics of images that hold an infinity: the mean is infinite, wherever it lies and whichever thread meets it.

use ferrotape_backend::reference::Reference;
use ferrotape_backend::{Array, DType, Device, Result};

use crate::emulator;

const SIZES: [usize; 4] = [3, 8, 40, 40];

/// Mean and variance of each channel, of images with these values.
fn moments(device: &Device, values: &[f32], by_channels: bool) -> Result<[Vec<f32>; 2]> {
    let mut x = Array::from_slice(device, values, SIZES)?;
    if by_channels {
        x = x.channels_last()?;
    }
    let zeros = || Array::zeros(device, DType::F32, [SIZES[1]]);
    let (mut mean, mut var) = (zeros()?, zeros()?);
    device.backend().channel_moments(&x, &mut mean, &mut var)?;
    Ok([mean.to_vec()?, var.to_vec()?])
}

#[test]
fn a_mean_over_an_infinity_is_infinite() {
    let Some(device) = emulator() else { return };
    let reference = Device::new(Reference::new());
    let [n, c, h, w] = SIZES;
    let plane = h * w;
    for (image, pixel) in [(0, 0), (0, 1), (1, 700), (n - 1, plane - 1)] {
        for infinity in [f32::INFINITY, f32::NEG_INFINITY] {
            let mut values: Vec<f32> =
                (0..n * c * plane).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
            values[(image * c + 2) * plane + pixel] = infinity;
            let expected = moments(&reference, &values, false).unwrap();
            for by_channels in [false, true] {
                let got = moments(&device, &values, by_channels).unwrap();
                assert_eq!((got[0][2], got[1][2].is_nan()), (infinity, true), "{image} {pixel}");
                for (got, expected) in got.iter().zip(&expected) {
                    let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4 || !b.is_finite();
                    assert!(got.iter().zip(expected).all(near), "{got:?} {expected:?}");
                }
            }
        }
    }
}

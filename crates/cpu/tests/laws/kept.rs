//! Weights in panels that are kept from one call to the next: nobody may see what a weight was before.

use ferrotape_backend::{Array, Conv2d, DType, Device, Result, Rng};

use crate::devices;

fn random(device: &Device, dtype: DType, shape: &[usize], seed: u64) -> Result<Array> {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count as u64).map(|i| Rng::new(seed).uniform_f32(i) - 0.5).collect();
    Array::from_slice(device, &values, shape)?.cast(dtype)
}

/// The result with a copy of the weight, for which nothing was kept.
fn alone(w: &Array, f: impl Fn(&Array) -> Result<Array>) -> Result<Vec<f32>> {
    f(&w.copy()?)?.to_vec::<f32>()
}

/// `f` of a weight, again and again, while the weight changes in between.
fn holds(
    device: &Device,
    dtype: DType,
    shape: &[usize],
    f: impl Fn(&Array) -> Result<Array>,
) -> Result<()> {
    let mut w = random(device, dtype, shape, 1)?;
    for round in 0..4 {
        let expected = alone(&w, &f)?;
        for _ in 0..3 {
            assert_eq!(f(&w)?.to_vec::<f32>()?, expected, "{dtype} {shape:?}, round {round}");
        }
        let next = random(device, dtype, shape, 2 + round)?;
        device.backend().copy(&next, &mut w)?;
    }
    Ok(())
}

#[test]
fn a_weight_that_was_written_is_laid_out_anew() -> Result<()> {
    for (_, device) in devices(2) {
        for dtype in [DType::F32, DType::BF16] {
            let x = random(&device, dtype, &[2, 34, 17, 16], 7)?;
            let backend = device.backend();
            for (shape, params) in [
                ([40, 34, 3, 3], Conv2d { padding: [1, 1], ..Conv2d::default() }),
                ([40, 34, 3, 3], Conv2d { stride: [2, 2], ..Conv2d::default() }),
                ([40, 34, 1, 1], Conv2d::default()),
            ] {
                holds(&device, dtype, &shape, |w| {
                    let [h, width] = [0, 1].map(|axis| {
                        let reach = x.shape()[2 + axis] + 2 * params.padding[axis];
                        (reach - shape[2 + axis]) / params.stride[axis] + 1
                    });
                    let mut y = Array::zeros(&device, dtype, [2, 40, h, width])?;
                    backend.conv2d(&x, w, None, &mut y, &params)?;
                    y.cast(DType::F32)
                })?;
            }
            let a = random(&device, dtype, &[1, 70, 160], 8)?;
            holds(&device, dtype, &[1, 160, 160], |b| {
                let mut c = Array::zeros(&device, dtype, [1, 70, 160])?;
                backend.gemm(&a, b, &mut c, false)?;
                c.cast(DType::F32)
            })?;
        }
    }
    Ok(())
}

/// Two ways of one buffer, in turns and repeatedly.
#[test]
fn views_of_one_buffer_are_not_taken_for_each_other() -> Result<()> {
    for (_, device) in devices(1) {
        let (a, b) = (
            random(&device, DType::F32, &[1, 90, 128], 1)?,
            random(&device, DType::F32, &[1, 128, 128], 2)?,
        );
        let turned = b.permute(&[0, 2, 1])?;
        let product = |b: &Array| {
            let mut c = Array::zeros(&device, DType::F32, [1, 90, 128])?;
            device.backend().gemm(&a, b, &mut c, false)?;
            c.to_vec::<f32>()
        };
        let expected = [product(&b.copy()?)?, product(&turned.copy()?)?];
        assert_ne!(expected[0], expected[1]);
        for turn in [0, 0, 0, 1, 0, 1, 1, 1, 0] {
            assert_eq!(product([&b, &turned][turn])?, expected[turn], "{turn}");
        }
    }
    Ok(())
}

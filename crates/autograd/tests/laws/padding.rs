//! Padding of every kind.

use ferrotape_autograd::Tensor;
use ferrotape_autograd::ops::Padding;
use ferrotape_backend::{Array, DType, Device, Result, reference::Reference};
use ferrotape_gradcheck::check_op;
use ferrotape_gradcheck::strategy::{Values, inputs, shapes};
use proptest::collection::vec;
use proptest::sample::select;
use proptest::strategy::{Just, Strategy};

use crate::for_all;

const MODES: [Padding; 5] = [
    Padding::Constant(0.0),
    Padding::Constant(1.5),
    Padding::Reflect,
    Padding::Replicate,
    Padding::Circular,
];

#[test]
fn padding_obeys_the_laws_in_every_mode() {
    let cases = (shapes(0..=4, 3), vec((0..=3usize, 0..=3usize), 0..=4), select(MODES.to_vec()));
    let cases = cases.prop_flat_map(|(shape, margins, mode)| {
        let sizes = shape.iter().rev();
        let pad: Vec<usize> = sizes
            .zip(margins)
            .flat_map(|(&size, (before, behind))| {
                let largest = match mode {
                    Padding::Reflect => size - 1,
                    Padding::Circular => size,
                    _ => 3,
                };
                [before.min(largest), behind.min(largest)]
            })
            .collect();
        (inputs(vec![shape], Values::Any), Just((pad, mode)))
    });
    for_all(cases, |device, (inputs, (pad, mode))| {
        Ok(check_op!(device, &inputs, |x| x[0].pad(&pad, mode), pad, mode)?)
    });
}

#[test]
fn margins_without_meaning_are_refused() -> Result<()> {
    let device = Device::new(Reference::new());
    let x = Tensor::from(Array::zeros(&device, DType::F64, [2, 3])?);
    let refused = |x: &Tensor, pad: &[usize], mode, why: &str| {
        let error = x.pad(pad, mode).expect_err("it must be refused").to_string();
        assert!(error.contains(why), "{error}");
    };
    for mode in MODES {
        refused(&x, &[1], mode, "two sizes a dimension");
        refused(&x, &[0; 6], mode, "at most 4");
        assert_eq!(x.pad(&[], mode)?.shape(), x.shape());
    }
    for mode in [Padding::Constant(0.0), Padding::Replicate] {
        refused(&x, &[usize::MAX, 1], mode, "addressed");
    }
    refused(&x, &[3, 0], Padding::Reflect, "at most 2");
    refused(&x, &[0, 4], Padding::Circular, "at most 3");
    let empty = Tensor::from(Array::zeros(&device, DType::F64, [2, 0])?);
    for mode in [Padding::Reflect, Padding::Replicate, Padding::Circular] {
        refused(&empty, &[1, 0], mode, "at most 0");
    }
    assert_eq!(empty.pad(&[1, 0], Padding::Constant(2.0))?.to_vec::<f64>()?, [2.0, 2.0]);
    Ok(())
}

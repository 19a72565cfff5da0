//! Logarithms of sums of exponentials, over any dimensions and at infinity.

use ferrotape_autograd::Tape;
use ferrotape_backend::{Array, DType, Device, Error, Result};
use ferrotape_gradcheck::check_op;
use ferrotape_gradcheck::strategy::{Values, dims_of, inputs, shapes};
use proptest::prelude::any;
use proptest::strategy::{Just, Strategy};

use crate::{devices, for_all};

#[test]
fn logsumexp_obeys_the_laws_over_any_dimensions() {
    let cases = dims_of(shapes(0..=4, 3)).prop_flat_map(|(shape, dims)| {
        (inputs(vec![shape], Values::Any), Just(dims), any::<bool>())
    });
    for_all(cases, |device, (inputs, dims, keepdim)| {
        Ok(check_op!(device, &inputs, |x| x[0].logsumexp(&dims, keepdim), dims, keepdim)?)
    });
}

/// The value and the gradient of a row.
fn of_row(device: &Device, row: &[f64]) -> Result<(f64, Vec<f64>)> {
    let x = Tape::new().variable(Array::from_slice(device, row, [row.len()])?)?;
    let y = x.logsumexp(&[0], false)?;
    let value = y.item()?;
    Ok((value, y.backward()?.of(&x)?.to_vec()?))
}

#[test]
fn infinite_and_extreme_elements_have_their_limits() -> Result<()> {
    let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
    for device in devices() {
        assert_eq!(of_row(&device, &[low, low])?, (low, vec![0.0, 0.0]));
        assert_eq!(of_row(&device, &[low, 3.0])?, (3.0, vec![0.0, 1.0]));
        assert_eq!(of_row(&device, &[high, 3.0])?.0, high);
        assert_eq!(of_row(&device, &[high, low])?.0, high);
        assert!(of_row(&device, &[f64::NAN, 1.0])?.0.is_nan());
        let halves = of_row(&device, &[-1e5, -1e5])?.1;
        assert!(halves.iter().all(|half| (half - 0.5).abs() < 1e-10), "{halves:?}");
        assert_eq!(of_row(&device, &[1e5, 0.0])?, (1e5, vec![1.0, 0.0]));
        assert_eq!(of_row(&device, &[])?, (low, vec![]));
    }
    Ok(())
}

#[test]
fn the_sum_of_half_precision_numbers_does_not_overflow() -> Result<()> {
    for device in devices() {
        let x = Array::zeros(&device, DType::F16, [100_000])?;
        let y = ferrotape_autograd::Tensor::from(x).logsumexp(&[], false)?;
        assert_eq!(y.dtype(), DType::F16);
        assert!((y.item()? - 100_000f64.ln()).abs() < 0.01);
        let error: Error = y.logsumexp(&[0], true).expect_err("a scalar has no dimension 0");
        assert!(error.to_string().contains("no dimension 0"));
    }
    Ok(())
}

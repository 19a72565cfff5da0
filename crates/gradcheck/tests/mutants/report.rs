//! What a failure tells, and that it is the smallest.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Conv2d, Device, Result, reference::Reference};
use ferrotape_gradcheck::strategy::{Values, inputs, runner, shapes};
use ferrotape_gradcheck::{Input, Law, MemoryLayout, check_op};
use proptest::strategy::Strategy;
use proptest::test_runner::TestError;

use crate::{Custom, real};

/// The sine with a gradient that is wrong in one element.
fn wrong_in_the_last_element(x: &Tensor) -> Result<Tensor> {
    let forward = |x: &[Tensor], ()| x[0].sin();
    let backward = |x: &[Tensor], g: &Tensor, ()| -> Result<Vec<Option<Tensor>>> {
        let mut grad = real(|x, ()| x[0].sin(), x, g, ())?.swap_remove(0).to_vec::<f64>()?;
        if let Some(last) = grad.last_mut() {
            *last += 0.5;
        }
        Ok(vec![Some(
            ferrotape_backend::Array::from_slice(g.device(), &grad, x[0].shape())?.into(),
        )])
    };
    Tensor::apply(Custom { attributes: (), forward, backward }, &[x])
}

#[test]
fn a_failure_names_the_element_and_both_numbers() -> Result<()> {
    let device = Device::new(Reference::new());
    let inputs = [Input::new([2, 2], [0.5, -0.25, 1.0, 2.0])?];
    let failure = check_op!(&device, &inputs, |x| wrong_in_the_last_element(&x[0])).unwrap_err();
    assert_eq!(failure.law(), Law::Gradient);
    let place = failure.place().expect("an element is wrong");
    assert_eq!((place.tensor.as_str(), place.element.as_slice()), ("input 0", &[1, 1][..]));
    assert!((place.analytic - place.numeric - 0.5).abs() < 1e-6, "{place}");
    assert!(place.tolerance < 1e-6);
    Ok(())
}

#[test]
fn a_failure_prints_the_code_that_shows_it_again() -> Result<()> {
    let device = Device::new(Reference::new());
    let layout = MemoryLayout::ChannelsLast;
    let inputs = [
        Input::new([1, 2, 1, 1], [0.5, -0.25])?.laid_out(layout),
        Input::new([1, 2, 1, 1], [1.0, 2.0])?,
    ];
    let params = Conv2d { padding: [1, 0], ..Conv2d::default() };
    let failure =
        check_op!(&device, &inputs, |x| x[0].conv2d(&x[1].detach(), None, &params), params)
            .unwrap_err();
    let code = "\
// device: reference, seed: 0
let params = Conv2d { stride: [1, 1], padding: [1, 0], dilation: [1, 1], groups: 1 };
let inputs = [
    Input::new([1, 2, 1, 1], [0.5, -0.25])?.laid_out(MemoryLayout::ChannelsLast),
    Input::new([1, 2, 1, 1], [1.0, 2.0])?,
];
check_op!(&device, &inputs, |x| x[0].conv2d(&x[1].detach(), None, &params))?;
";
    assert_eq!(failure.reproduction(), code);
    assert!(failure.to_string().contains("input 1 is tracked and gets no gradient"));
    Ok(())
}

#[test]
fn a_failure_shrinks_to_the_smallest_shape_and_a_plain_layout() {
    let device = Device::new(Reference::new());
    let cases = shapes(0..=4, 4).prop_flat_map(|shape| inputs(vec![shape], Values::Any));
    let outcome = runner().run(&cases, |inputs| {
        // Wrong for two elements or more.
        let op = |x: &[Tensor]| match x[0].shape().numel() {
            0..=1 => x[0].sin(),
            _ => wrong_in_the_last_element(&x[0]),
        };
        Ok(check_op!(&device, &inputs, op)?)
    });
    let Err(TestError::Fail(_, smallest)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(smallest[0].shape().numel(), 2, "{smallest:?}");
    assert_eq!(*smallest[0].layout(), MemoryLayout::Contiguous);
}

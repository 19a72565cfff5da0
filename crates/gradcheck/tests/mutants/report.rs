//! What a failure tells, and that it is the smallest.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Array, Conv2d, Device, Result, reference::Reference};
use ferrotape_cpu::{Cpu, CpuOptions};
use ferrotape_gradcheck::strategy::{Values, inputs, runner, shapes};
use ferrotape_gradcheck::{Input, Law, MemoryLayout, Options, check_equal, check_op};
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

#[test]
fn a_wrong_element_among_very_many_is_found_by_halving_and_told_in_few_words() -> Result<()> {
    let device = Device::new(Reference::new());
    let values: Vec<f64> = (0..40_000).map(|i| f64::from(i % 7) - 2.9).collect();
    let inputs = [Input::new([200, 200], values)?];
    let options = Options { layouts: false, ..Options::default() };
    let op = |x: &[Tensor]| wrong_in_the_last_element(&x[0]);
    let failure = check_op(&device, "wrong", &inputs, &options, op).unwrap_err();
    let place = failure.place().expect("an element is wrong");
    assert_eq!(place.element, [199, 199]);
    assert!(failure.to_string().len() < 5_000, "{}", failure.to_string().len());
    Ok(())
}

#[test]
fn several_kinks_and_the_end_of_a_domain_are_told_as_such() -> Result<()> {
    let device = Device::new(Reference::new());
    let zeros = [Input::new([4], [0.0, 0.0, 0.0, 0.0])?];
    let failure = check_op!(&device, &zeros, |x| x[0].relu()).unwrap_err();
    assert!(failure.message().contains("kinks or ties"), "{failure}");
    let edge = [Input::new([1], [1e-9])?];
    let failure = check_op!(&device, &edge, |x| x[0].log()).unwrap_err();
    assert!(failure.message().contains("where it is defined"), "{failure}");
    Ok(())
}

#[test]
fn an_element_of_a_value_has_its_index_and_a_captured_array_its_remedy() -> Result<()> {
    let device = Device::new(Cpu::new(CpuOptions::default())?);
    let inputs = [Input::new([2, 2], [0.5, -0.25, 1.0, 2.0])?];
    let other =
        |x: &Tensor| x.mul(&Array::from_slice(x.device(), &[1.0, 1.0, 1.0, 2.0], [2, 2])?.into());
    let failure =
        check_equal!(&device, &inputs, |x| other(&x[0]), |x| Ok(x[0].clone())).unwrap_err();
    assert_eq!(failure.place().expect("an element differs").element, [1, 1]);
    let captured = Tensor::from(Array::from_slice(&device, &[2.0], [1])?);
    let failure = check_op!(&device, &inputs, |x| x[0].mul(&captured)).unwrap_err();
    assert_eq!(failure.law(), Law::Reference);
    assert!(failure.message().contains("to be an Input"), "{failure}");
    let failure = check_op!(&device, &inputs, |x| x[0].argmax(0, false)).unwrap_err();
    assert!(failure.message().contains("has no gradient"), "{failure}");
    Ok(())
}

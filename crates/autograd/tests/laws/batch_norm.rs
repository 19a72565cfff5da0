//! Batch normalization with the batch's statistics and with given ones.

use ferrotape_autograd::Tensor;
use ferrotape_gradcheck::strategy::{Values, images, inputs};
use ferrotape_gradcheck::{Input, check_op};
use proptest::prelude::any;
use proptest::strategy::{Just, Strategy};

use crate::for_all;

/// Images, and weight and bias if the flag says so, with an epsilon.
fn cases() -> impl Strategy<Value = (Vec<Input>, f64)> {
    let cases = (images(3), 2..=5usize, any::<bool>(), 1e-5..0.1);
    cases.prop_flat_map(|(mut shape, rank, affine, eps)| {
        // One value a channel has no variance, two have one that is steep near equal values.
        shape[0] += 2;
        shape.resize(rank, 2);
        let channels = vec![shape[1]];
        let shapes = match affine {
            true => vec![shape, channels.clone(), channels],
            false => vec![shape],
        };
        (inputs(shapes, Values::Any), Just(eps))
    })
}

fn affine(x: &[Tensor]) -> Option<[&Tensor; 2]> {
    (x.len() >= 3).then(|| [&x[x.len() - 2], &x[x.len() - 1]])
}

#[test]
fn batch_norm_in_training_obeys_the_laws() {
    for_all(cases(), |device, (inputs, eps)| {
        Ok(check_op!(device, &inputs, |x| Ok(x[0].batch_norm_train(affine(x), eps)?.0), eps)?)
    });
}

#[test]
fn batch_norm_in_eval_obeys_the_laws() {
    for_all(cases(), |device, (mut inputs, eps)| {
        let channels = inputs[0].shape()[1];
        let statistic =
            |from: f64| (0..channels).map(|c| from + 0.3 * c as f64).collect::<Vec<_>>();
        inputs.insert(1, Input::new([channels], statistic(-0.4))?.constant());
        inputs.insert(2, Input::new([channels], statistic(0.2))?.constant());
        Ok(check_op!(
            device,
            &inputs,
            |x| x[0].batch_norm_eval(x[1].array(), x[2].array(), affine(&x[2..]), eps),
            eps
        )?)
    });
}

/// Images and a residual of their shape. There is no ReLU: a difference quotient at its kink is no
/// derivative. That it is what it means is a law of `fused.rs`.
fn with_residual() -> impl Strategy<Value = (Vec<Input>, f64)> {
    (images(3), 1e-5..0.1).prop_flat_map(|(mut shape, eps)| {
        shape[0] += 2;
        (inputs(vec![shape.clone(), shape], Values::Any), Just(eps))
    })
}

#[test]
fn batch_norm_with_a_residual_obeys_the_laws_in_training() {
    for_all(with_residual(), |device, (inputs, eps)| {
        Ok(check_op!(
            device,
            &inputs,
            |x| Ok(x[0].batch_norm_act_train(None, eps, Some(&x[1]), false)?.0),
            eps
        )?)
    });
}

#[test]
fn batch_norm_with_a_residual_obeys_the_laws_in_eval() {
    for_all(with_residual(), |device, (mut inputs, eps)| {
        let channels = inputs[0].shape()[1];
        inputs.push(Input::new([channels], vec![0.3; channels])?.constant());
        inputs.push(Input::new([channels], vec![1.7; channels])?.constant());
        Ok(check_op!(
            device,
            &inputs,
            |x| {
                let stats = [x[2].array(), x[3].array()];
                x[0].batch_norm_act_eval(stats, None, eps, Some(&x[1]), false)
            },
            eps
        )?)
    });
}

//! Losses of numbers, of two classes and of distributions.

use ferrotape_autograd::ops::{BinaryCrossEntropy, NllLoss, Reduction};
use ferrotape_autograd::{BackwardOptions, Tape, Tensor};
use ferrotape_backend::{Array, CrossEntropy, DType, Device, Result, reference::Reference};
use ferrotape_gradcheck::strategy::{Values, inputs, shapes};
use ferrotape_gradcheck::{Input, check_op};
use proptest::prelude::any;
use proptest::sample::select;
use proptest::strategy::{Just, Strategy};

use crate::{devices, for_all};

fn reductions() -> impl Strategy<Value = Reduction> {
    let all = [Reduction::Mean, Reduction::Sum, Reduction::BatchMean, Reduction::None];
    select(all.to_vec())
}

/// An input and a target of one shape, with a reduction.
fn pairs(values: Values) -> impl Strategy<Value = (Vec<Input>, Reduction)> {
    // As many values as fit between 0 and 1, apart from each other, are not many.
    let (ranks, sizes) = if values == Values::Unit { (1..=3, 2) } else { (1..=4, 3) };
    (shapes(ranks, sizes), reductions()).prop_flat_map(move |(shape, reduction)| {
        (inputs(vec![shape.clone(), shape], values.clone()), Just(reduction))
    })
}

#[test]
fn losses_of_numbers_obey_the_laws() {
    for_all(pairs(Values::Any), |device, (inputs, reduction)| {
        check_op!(device, &inputs, |x| x[0].mse_loss(&x[1], reduction), reduction)?;
        Ok(check_op!(device, &inputs, |x| x[0].l1_loss(&x[1], reduction), reduction)?)
    });
}

/// Whether a difference of input and target is so near to the bound that a step could cross it.
fn near(inputs: &[Input], bound: f64) -> bool {
    let [x, t] = [0, 1].map(|i| inputs[i].floats().expect("the strategy makes floats"));
    x.iter().zip(t).any(|(x, t)| ((x - t).abs() - bound).abs() < 0.02)
}

#[test]
fn losses_that_change_from_squares_to_distances_obey_the_laws() {
    let bounds = select(vec![0.3, 1.0, 2.0]);
    for_all((pairs(Values::Any), bounds), |device, ((inputs, reduction), bound)| {
        if near(&inputs, bound) {
            return Ok(());
        }
        check_op!(
            device,
            &inputs,
            |x| x[0].smooth_l1_loss(&x[1], bound, reduction),
            bound,
            reduction
        )?;
        Ok(check_op!(
            device,
            &inputs,
            |x| x[0].huber_loss(&x[1], bound, reduction),
            bound,
            reduction
        )?)
    });
}

#[test]
fn smooth_l1_without_a_smooth_part_is_l1_and_halves_meet_where_huber_changes() -> Result<()> {
    for device in devices() {
        let x = Tape::new().variable(Array::from_slice(&device, &[1.0f64, 2.0, 4.0], [3])?)?;
        let target = Tensor::from(Array::full(&device, DType::F64, [3], 2.0)?);
        let smooth = x.smooth_l1_loss(&target, 0.0, Reduction::Sum)?;
        assert_eq!(smooth.item()?, 3.0);
        assert_eq!(smooth.backward()?.of(&x)?.to_vec::<f64>()?, [-1.0, 0.0, 1.0]);
        let huber = x.huber_loss(&target, 1.0, Reduction::None)?;
        assert_eq!(huber.to_vec::<f64>()?, [0.5, 0.0, 1.5]);
        // The curvature of the square is 1 where input and target are equal, too.
        let options = BackwardOptions { create_graph: true, ..Default::default() };
        let gradients = huber.sum_all()?.backward_with(&options)?;
        let slope = gradients.get(&x).expect("the loss depends on its input").sum_all()?;
        assert_eq!(slope.backward()?.of(&x)?.to_vec::<f64>()?, [1.0, 1.0, 0.0]);
    }
    Ok(())
}

#[test]
fn divergences_obey_the_laws_with_targets_of_either_form() {
    for_all((pairs(Values::Unit), any::<bool>()), |device, ((inputs, reduction), log)| {
        Ok(check_op!(device, &inputs, |x| x[0].kl_div(&x[1], log, reduction), log, reduction)?)
    });
}

#[test]
fn a_target_of_probability_0_adds_nothing_to_the_divergence() -> Result<()> {
    for device in devices() {
        let row = [f64::NEG_INFINITY, 0.0];
        let x = Tape::new().variable(Array::from_slice(&device, &row, [1, 2])?)?;
        let target = Tensor::from(Array::from_slice(&device, &[0.0f64, 1.0], [1, 2])?);
        let divergence = x.kl_div(&target, false, Reduction::BatchMean)?;
        assert_eq!(divergence.item()?, 0.0);
        assert_eq!(divergence.backward()?.of(&x)?.to_vec::<f64>()?, [0.0, -1.0]);
    }
    Ok(())
}

#[test]
fn binary_cross_entropy_obeys_the_laws_with_and_without_a_weight() {
    let cases = (pairs(Values::Unit), any::<bool>());
    for_all(cases, |device, ((mut inputs, reduction), weighted)| {
        if weighted {
            let size = inputs[0].shape().last().copied().unwrap_or(1);
            inputs.push(Input::new([size], (1..=size).map(|i| i as f64).collect::<Vec<_>>())?);
        }
        Ok(check_op!(
            device,
            &inputs,
            |x| x[0].binary_cross_entropy(&x[1], x.get(2), reduction),
            reduction
        )?)
    });
}

#[test]
fn binary_cross_entropy_with_logits_obeys_the_laws_with_every_weight() {
    let cases = (pairs(Values::Any), any::<[bool; 2]>());
    for_all(cases, |device, ((mut inputs, reduction), [weighted, positive])| {
        let size = inputs[0].shape().last().copied().unwrap_or(1);
        let weights: Vec<f64> = (1..=size).map(|i| 0.5 * i as f64).collect();
        for _ in 0..usize::from(weighted) + usize::from(positive) {
            inputs.push(Input::new([size], weights.clone())?);
        }
        Ok(check_op!(
            device,
            &inputs,
            |x| {
                let weight = x.get(2).filter(|_| weighted);
                let pos_weight = x.get(2 + usize::from(weighted)).filter(|_| positive);
                let options = BinaryCrossEntropy { weight, pos_weight, reduction };
                x[0].binary_cross_entropy_with_logits(&x[1], &options)
            },
            weighted,
            positive,
            reduction
        )?)
    });
}

#[test]
fn a_certain_and_wrong_probability_has_a_finite_loss_and_gradient() -> Result<()> {
    for device in devices() {
        for dtype in [DType::F32, DType::F64] {
            let probabilities = [0.0, 1.0, 0.0, 1.0];
            let x = Array::from_f64(&device, &probabilities, dtype, [4])?;
            let x = Tape::new().variable(x)?;
            let target = Array::from_f64(&device, &[1.0, 0.0, 0.0, 1.0], dtype, [4])?.into();
            let losses = x.binary_cross_entropy(&target, None, Reduction::None)?;
            assert_eq!(losses.to_f64_vec()?, [100.0, 100.0, 0.0, 0.0]);
            let gradients = losses.sum_all()?.backward()?.of(&x)?.to_f64_vec()?;
            for (gradient, wanted) in gradients.iter().zip([-1e12, 1e12, 0.0, 0.0]) {
                assert!((gradient - wanted).abs() <= 1e-6 * wanted.abs(), "{gradient}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_positive_weight_multiplies_the_losses_of_positive_targets_only() -> Result<()> {
    for device in devices() {
        let tensor = |values: &[f64], shape: &[usize]| {
            Array::from_slice(&device, values, shape).map(Tensor::from)
        };
        let x = tensor(&[0.5, -1.0, 2.0, 0.3], &[2, 2])?;
        let target = tensor(&[1.0, 0.0, 0.0, 1.0], &[2, 2])?;
        let factor = tensor(&[3.0, 5.0], &[2])?;
        let reduction = Reduction::None;
        let losses = |weight, pos_weight| {
            let options = BinaryCrossEntropy { weight, pos_weight, reduction };
            x.binary_cross_entropy_with_logits(&target, &options)?.to_vec::<f64>()
        };
        let plain = losses(None, None)?;
        let times = |factors: [f64; 4]| -> Vec<f64> {
            plain.iter().zip(factors).map(|(loss, factor)| loss * factor).collect()
        };
        assert_eq!(losses(None, Some(&factor))?, times([3.0, 1.0, 1.0, 5.0]));
        assert_eq!(losses(Some(&factor), None)?, times([3.0, 5.0, 3.0, 5.0]));
    }
    Ok(())
}

#[test]
fn the_two_forms_of_binary_cross_entropy_agree() {
    for_all(pairs(Values::Any), |device, (inputs, reduction)| {
        let [x, t] = [inputs[0].on(device)?, inputs[1].on(device)?].map(Tensor::from);
        let options = BinaryCrossEntropy { reduction, ..Default::default() };
        let fused = x.binary_cross_entropy_with_logits(&t, &options)?.to_vec::<f64>()?;
        let plain = x.sigmoid()?.binary_cross_entropy(&t, None, reduction)?.to_vec::<f64>()?;
        for (fused, plain) in fused.iter().zip(&plain) {
            assert!((fused - plain).abs() < 1e-12 * (1.0 + plain.abs()), "{fused} {plain}");
        }
        Ok(())
    });
}

#[test]
fn half_precision_losses_are_computed_and_given_in_f32() -> Result<()> {
    let device = Device::new(Reference::new());
    let x = Tensor::from(Array::full(&device, DType::F16, [2], 300.0)?);
    let target = Tensor::from(Array::zeros(&device, DType::F32, [2])?);
    let loss = x.mse_loss(&target, Reduction::Sum)?;
    assert_eq!((loss.dtype(), loss.item()?), (DType::F32, 180_000.0));
    Ok(())
}

#[test]
fn losses_without_meaning_are_refused() -> Result<()> {
    let device = Device::new(Reference::new());
    let zeros = |shape: &[usize]| Array::zeros(&device, DType::F64, shape).map(Tensor::from);
    let (x, wide, scalar) = (zeros(&[2, 3])?, zeros(&[2, 1])?, zeros(&[])?);
    let refused = |result: Result<Tensor>, why: &str| {
        let error = result.expect_err("it must be refused").to_string();
        assert!(error.contains(why), "{error}");
    };
    let mean = Reduction::Mean;
    let options = BinaryCrossEntropy::default();
    for result in [
        x.mse_loss(&wide, mean),
        x.l1_loss(&wide, mean),
        x.smooth_l1_loss(&wide, 1.0, mean),
        x.huber_loss(&wide, 1.0, mean),
        x.kl_div(&wide, false, mean),
        x.binary_cross_entropy(&wide, None, mean),
        x.binary_cross_entropy_with_logits(&wide, &options),
    ] {
        refused(result, "wants a target of the input's shape");
    }
    for bad in [-1.0, f64::NAN] {
        refused(x.smooth_l1_loss(&x, bad, mean), "not negative");
        refused(x.huber_loss(&x, bad, mean), "positive");
    }
    refused(x.huber_loss(&x, 0.0, mean), "positive");
    refused(wide.binary_cross_entropy(&wide, Some(&x), mean), "does not broadcast");
    refused(scalar.mse_loss(&scalar, Reduction::BatchMean), "a scalar has none");
    let outside = x.add_scalar(1.5)?;
    assert!(outside.binary_cross_entropy(&x, None, mean)?.item()?.is_nan());
    Ok(())
}

#[test]
fn a_batch_in_which_no_target_counts_has_no_loss_and_the_gradient_0() {
    for device in devices() {
        let logits = Array::from_slice(&device, &[0.3f64, -0.7, 1.1, 0.2], [2, 2]).unwrap();
        let targets = Array::from_slice(&device, &[-100i64, -100], [2]).unwrap();
        let weight = Array::from_slice(&device, &[0.5f64, 2.0], [2]).unwrap();
        let params = CrossEntropy::default();
        type Loss<'a> = &'a dyn Fn(&Tensor) -> Result<Tensor>;
        let losses: [Loss<'_>; 3] = [
            &|x| x.cross_entropy(&targets),
            &|x| x.cross_entropy_weighted(&targets, &weight, &params, Reduction::Mean),
            &|x| x.log_softmax(1)?.nll_loss(&targets, &NllLoss::default()),
        ];
        for loss in losses {
            let x = Tape::new().variable(logits.clone()).unwrap();
            let loss = loss(&x).unwrap();
            assert!(loss.item().unwrap().is_nan());
            let gradients = loss.backward().unwrap();
            assert_eq!(gradients.of(&x).unwrap().to_vec::<f64>().unwrap(), [0.0; 4]);
        }
    }
}

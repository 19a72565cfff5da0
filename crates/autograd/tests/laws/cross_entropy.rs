//! Losses of classes, with smoothing, weights, ignored targets and every reduction.

use ferrotape_autograd::ops::{NllLoss, Reduction};
use ferrotape_autograd::{BackwardOptions, Tape, Tensor};
use ferrotape_backend::{Array, CrossEntropy, DType, Device, Result, reference::Reference};
use ferrotape_gradcheck::strategy::{Values, inputs, shapes};
use ferrotape_gradcheck::{Input, check_op};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::sample::select;
use proptest::strategy::{Just, Strategy};

use crate::{devices, for_all, refusal};

/// Logits, targets that are not all ignored, and what is made of them.
#[derive(Debug, Clone)]
struct Case {
    inputs: Vec<Input>,
    params: CrossEntropy,
    reduction: Reduction,
    /// A weight for each class.
    weights: Vec<f64>,
}

/// Logits `[N, K, ..]` of two to four dimensions with target classes.
fn cases() -> impl Strategy<Value = Case> {
    let reductions = vec![Reduction::Mean, Reduction::Sum, Reduction::BatchMean, Reduction::None];
    shapes(2..=4, 4).prop_flat_map(move |shape| {
        let mut rows = shape.clone();
        let classes = rows.remove(1);
        (
            inputs(vec![shape], Values::Any),
            // Class 0 is ignored in half of the cases, where at least one row must count.
            vec(0..classes as i64, rows.iter().product::<usize>()),
            select(vec![-100, 0]),
            select(vec![0.0, 0.1, 1.0]),
            select(reductions.clone()),
            (Just(rows), vec(0.2..2.0, classes)),
        )
            .prop_map(
                |(mut inputs, targets, ignored, label_smoothing, reduction, rest)| {
                    let (rows, weights) = rest;
                    let ignore_index =
                        if targets.iter().all(|t| *t == ignored) { -100 } else { ignored };
                    inputs.push(Input::indices(&rows, targets).expect("as many targets as rows"));
                    let params = CrossEntropy { label_smoothing, ignore_index };
                    Case { inputs, params, reduction, weights }
                },
            )
    })
}

fn weights(x: &Tensor, weights: &[f64]) -> Result<Array> {
    Array::from_slice(x.device(), weights, [weights.len()])
}

#[test]
fn cross_entropy_obeys_the_laws() {
    for_all(cases(), |device, Case { inputs, params, reduction, .. }| {
        Ok(check_op!(
            device,
            &inputs,
            |x| x[0].cross_entropy_with(x[1].array(), &params, reduction),
            params,
            reduction
        )?)
    });
}

#[test]
fn cross_entropy_without_attributes_obeys_the_laws() {
    for_all(cases(), |device, Case { inputs, .. }| {
        Ok(check_op!(device, &inputs, |x| x[0].cross_entropy(x[1].array()))?)
    });
}

#[test]
fn weighted_cross_entropy_obeys_the_laws() {
    for_all(cases(), |device, Case { inputs, params, reduction, weights: w }| {
        Ok(check_op!(
            device,
            &inputs,
            |x| {
                let weight = weights(&x[0], &w)?;
                x[0].cross_entropy_weighted(x[1].array(), &weight, &params, reduction)
            },
            w,
            params,
            reduction
        )?)
    });
}

#[test]
fn negative_log_likelihood_obeys_the_laws() {
    for_all((cases(), any::<bool>()), |device, (case, weighted)| {
        let Case { inputs, params, reduction, weights: w } = case;
        Ok(check_op!(
            device,
            &inputs,
            |x| {
                let weight = weights(&x[0], &w)?;
                let weight = Some(&weight).filter(|_| weighted);
                let options = NllLoss { weight, ignore_index: params.ignore_index, reduction };
                x[0].nll_loss(x[1].array(), &options)
            },
            w,
            params,
            weighted,
            reduction
        )?)
    });
}

#[test]
fn cross_entropy_with_distributions_obeys_the_laws_in_logits_and_targets() {
    for_all((cases(), any::<bool>()), |device, (case, weighted)| {
        let Case { inputs, params, reduction, weights: w } = case;
        let shape = inputs[0].shape();
        let target: Vec<f64> = (0..shape.numel()).map(|i| 0.1 + (i * 5 % 7) as f64 / 8.0).collect();
        let inputs = [inputs[0].clone(), Input::new(shape, target)?];
        let smoothing = params.label_smoothing;
        Ok(check_op!(
            device,
            &inputs,
            |x| {
                let weight = weights(&x[0], &w)?;
                let weight = Some(&weight).filter(|_| weighted);
                x[0].cross_entropy_soft(&x[1], weight, smoothing, reduction)
            },
            w,
            smoothing,
            weighted,
            reduction
        )?)
    });
}

type Loss<'a> = &'a dyn Fn(&Tensor) -> Result<Tensor>;

/// Value, gradient, and the gradient of the squared gradient.
fn orders(device: &Device, input: &Input, loss: Loss<'_>) -> Result<[Vec<f64>; 3]> {
    let x = Tape::new().variable(input.on(device)?)?;
    // Squared, the loss has a gradient that depends on its value, and losses of rows mix.
    let value = loss(&x)?;
    let sum = value.square()?.sum_all()?;
    let options = BackwardOptions { create_graph: true, ..Default::default() };
    let gradients = sum.backward_with(&options)?;
    let gradient = gradients.get(&x).expect("the loss depends on its input").clone();
    let second = gradient.square()?.sum_all()?.backward()?;
    Ok([value.to_vec()?, gradient.to_vec()?, second.of(&x)?.to_vec()?])
}

fn assert_same(device: &Device, input: &Input, one: Loss<'_>, other: Loss<'_>) -> Result<()> {
    let (one, other) = (orders(device, input, one)?, orders(device, input, other)?);
    for (order, (one, other)) in one.iter().zip(&other).enumerate() {
        assert_eq!(one.len(), other.len());
        for (a, b) in one.iter().zip(other) {
            assert!((a - b).abs() < 1e-10 * (1.0 + b.abs()), "order {order}: {a} and {b}");
        }
    }
    Ok(())
}

#[test]
fn the_fused_form_is_the_definition_in_value_gradient_and_second_gradient() {
    for_all(cases(), |device, Case { inputs, params, reduction, weights: w }| {
        let targets = inputs[1].on(device)?;
        let fused = |x: &Tensor| x.cross_entropy_with(&targets, &params, reduction);
        let ones = vec![1.0; w.len()];
        let by_definition = |x: &Tensor| {
            x.cross_entropy_weighted(&targets, &weights(x, &ones)?, &params, reduction)
        };
        assert_same(device, &inputs[0], &fused, &by_definition)?;
        // Without smoothing it is the likelihood of the softmax.
        let params = CrossEntropy { label_smoothing: 0.0, ..params };
        let fused = |x: &Tensor| x.cross_entropy_with(&targets, &params, reduction);
        let options = NllLoss { weight: None, ignore_index: params.ignore_index, reduction };
        let likelihood = |x: &Tensor| x.log_softmax(1)?.nll_loss(&targets, &options);
        assert_same(device, &inputs[0], &fused, &likelihood)?;
        // With no target ignored it is that of the distributions with all weight at one class.
        let params = CrossEntropy { ignore_index: -100, ..params };
        let fused = |x: &Tensor| x.cross_entropy_with(&targets, &params, reduction);
        let hot = Tensor::one_hot(&targets, w.len(), DType::F64)?;
        let rank = hot.shape().rank();
        let mut order: Vec<usize> = (0..rank - 1).collect();
        order.insert(1, rank - 1);
        let hot = hot.permute(&order)?;
        let soft = |x: &Tensor| x.cross_entropy_soft(&hot, None, 0.0, reduction);
        Ok(assert_same(device, &inputs[0], &fused, &soft)?)
    });
}

#[test]
fn smoothed_and_weighted_classes_are_a_weighted_distribution() {
    for_all(cases(), |device, Case { inputs, params, reduction, weights: w }| {
        // With the mean it divides by the weights of the targets, with distributions by the rows.
        let reduction = if reduction == Reduction::Mean { Reduction::Sum } else { reduction };
        let params = CrossEntropy { ignore_index: -100, ..params };
        let targets = inputs[1].on(device)?;
        let hot = Tensor::one_hot(&targets, w.len(), DType::F64)?;
        let rank = hot.shape().rank();
        let mut order: Vec<usize> = (0..rank - 1).collect();
        order.insert(1, rank - 1);
        let hot = hot.permute(&order)?;
        let smoothing = params.label_smoothing;
        let soft =
            |x: &Tensor| x.cross_entropy_soft(&hot, Some(&weights(x, &w)?), smoothing, reduction);
        let by_class =
            |x: &Tensor| x.cross_entropy_weighted(&targets, &weights(x, &w)?, &params, reduction);
        Ok(assert_same(device, &inputs[0], &soft, &by_class)?)
    });
}

#[test]
fn the_weighted_mean_divides_by_the_weights_of_the_targets_that_count() -> Result<()> {
    let (w, smoothing) = ([0.5, 2.0, 1.0], 0.3);
    let logits = [0.1, -0.4, 0.9, 1.2, 0.3, -0.7, 0.0, 0.8, 0.2];
    let classes = [1i64, 7, 2];
    let (mut sum, mut divisor) = (0.0, 0.0);
    for (row, &class) in logits.chunks(3).zip(&classes).filter(|(_, class)| **class != 7) {
        let total: f64 = row.iter().map(|x: &f64| x.exp()).sum();
        let logs: Vec<f64> = row.iter().map(|x| x - total.ln()).collect();
        let spread: f64 = w.iter().zip(&logs).map(|(w, log)| w * log).sum();
        let class = class as usize;
        sum -= (1.0 - smoothing) * w[class] * logs[class] + smoothing / 3.0 * spread;
        divisor += w[class];
    }
    for device in devices() {
        let x = Tensor::from(Array::from_slice(&device, &logits, [3, 3])?);
        let targets = Array::from_slice(&device, &classes, [3])?;
        let params = CrossEntropy { label_smoothing: smoothing, ignore_index: 7 };
        let weight = Array::from_slice(&device, &w, [3])?;
        let mean = x.cross_entropy_weighted(&targets, &weight, &params, Reduction::Mean)?;
        assert!((mean.item()? - sum / divisor).abs() < 1e-14, "{}", mean.item()?);
        let batch = x.cross_entropy_weighted(&targets, &weight, &params, Reduction::BatchMean)?;
        assert!((batch.item()? - sum / 3.0).abs() < 1e-14);
    }
    Ok(())
}

#[test]
fn one_row_of_classes_needs_no_batch() -> Result<()> {
    for device in devices() {
        let x = Tensor::from(Array::from_slice(&device, &[0.5f64, -0.5, 0.0], [3])?);
        let target = Array::from_slice(&device, &[2i64], [])?;
        let rows = x.unsqueeze(0)?;
        let wanted = rows.cross_entropy(&target.reshape([1])?)?.item()?;
        assert_eq!(x.cross_entropy(&target)?.item()?, wanted);
        let logs = x.log_softmax(0)?;
        let likelihood = logs.nll_loss(&target, &NllLoss::default())?;
        assert!((likelihood.item()? - wanted).abs() < 1e-15);
    }
    Ok(())
}

#[test]
fn an_ignored_target_of_an_impossible_class_adds_nothing() -> Result<()> {
    for device in devices() {
        let row = [f64::NEG_INFINITY, 0.0, 0.0, 1.0];
        let x = Tape::new().variable(Array::from_slice(&device, &row, [2, 2])?)?;
        let targets = Array::from_slice(&device, &[-1i64, 0], [2])?;
        let options = NllLoss { ignore_index: -1, ..NllLoss::default() };
        let loss = x.nll_loss(&targets, &options)?;
        assert_eq!(loss.item()?, 0.0);
        assert_eq!(loss.backward()?.of(&x)?.to_vec::<f64>()?, [0.0, 0.0, -1.0, 0.0]);
        let all = NllLoss { ignore_index: 0, ..NllLoss::default() };
        let none = Array::from_slice(&device, &[0i64, 0], [2])?;
        assert!(x.nll_loss(&none, &all)?.item()?.is_nan(), "the mean of no losses");
    }
    Ok(())
}

#[test]
fn labels_that_f32_cannot_tell_apart_are_not_ignored() -> Result<()> {
    let ignored = (1 << 24) + 1;
    for device in devices() {
        // 2^24 is a label of its own, out of range here: it must be seen and not taken as ignored.
        let x = Tensor::from(Array::zeros(&device, DType::F32, [2, 2])?);
        let options = NllLoss { ignore_index: ignored, ..NllLoss::default() };
        let targets = |first: i64| Array::from_slice(&device, &[first, 1], [2]);
        refusal(&device, x.nll_loss(&targets(ignored - 1)?, &options));
        assert!(x.nll_loss(&targets(ignored)?, &options).is_ok());
        let params = CrossEntropy { ignore_index: ignored, ..CrossEntropy::default() };
        let loss = x.cross_entropy_with(&targets(ignored)?, &params, Reduction::Mean)?;
        assert!((loss.item()? - 2f64.ln()).abs() < 1e-6);
    }
    Ok(())
}

#[test]
fn targets_and_weights_that_do_not_fit_are_refused() -> Result<()> {
    let device = Device::new(Reference::new());
    let zeros = |dtype, shape: &[usize]| Array::zeros(&device, dtype, shape);
    let x = Tensor::from(zeros(DType::F64, &[2, 3])?);
    let (targets, nll) = (zeros(DType::I64, &[2])?, NllLoss::default());
    let params = CrossEntropy::default();
    let refused = |result: Result<Tensor>, why: &str| {
        let error = result.expect_err("it must be refused").to_string();
        assert!(error.contains(why), "{error}");
    };
    for bad in [zeros(DType::I64, &[3])?, zeros(DType::F64, &[2])?, zeros(DType::I64, &[2, 1])?] {
        refused(x.nll_loss(&bad, &nll), "wants target classes");
        refused(x.cross_entropy(&bad), "wants target classes");
    }
    for bad in [zeros(DType::F64, &[2])?, zeros(DType::I64, &[3])?, zeros(DType::F64, &[1, 3])?] {
        let weighted = NllLoss { weight: Some(&bad), ..nll };
        refused(x.nll_loss(&targets, &weighted), "one a class");
        refused(x.cross_entropy_weighted(&targets, &bad, &params, Reduction::Mean), "one a class");
        refused(x.cross_entropy_soft(&x, Some(&bad), 0.0, Reduction::Mean), "one a class");
    }
    let out_of_range = Array::from_slice(&device, &[0i64, 3], [2])?;
    refused(x.nll_loss(&out_of_range, &nll), "out of range");
    refused(x.cross_entropy(&out_of_range), "out of range");
    let narrow = Tensor::from(zeros(DType::F64, &[2, 1])?);
    refused(x.cross_entropy_soft(&narrow, None, 0.0, Reduction::Mean), "input's shape");
    for smoothing in [-0.1, 1.1, f64::NAN] {
        refused(x.cross_entropy_soft(&x, None, smoothing, Reduction::Mean), "between 0 and 1");
    }
    let scalar = Tensor::from(zeros(DType::F64, &[])?);
    refused(scalar.cross_entropy(&zeros(DType::I64, &[])?), "got a scalar");
    Ok(())
}

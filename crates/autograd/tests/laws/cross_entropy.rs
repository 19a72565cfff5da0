//! Cross entropy with smoothing, ignored targets and every reduction.

use ferrotape_autograd::ops::Reduction;
use ferrotape_backend::CrossEntropy;
use ferrotape_gradcheck::strategy::{Values, inputs};
use ferrotape_gradcheck::{Input, check_op};
use proptest::collection::vec;
use proptest::sample::select;
use proptest::strategy::{Just, Strategy};

use crate::for_all;

#[test]
fn cross_entropy_obeys_the_laws() {
    let cases = (1..=4usize, 1..=5usize).prop_flat_map(|(rows, classes)| {
        let reductions = vec![Reduction::Mean, Reduction::Sum, Reduction::None];
        (
            inputs(vec![vec![rows, classes]], Values::Any),
            // Class 0 is ignored in half of the cases, where at least one row must count.
            vec(0..classes as i64, rows),
            select(vec![-100, 0]),
            select(vec![0.0, 0.1, 1.0]),
            select(reductions),
            Just(rows),
        )
    });
    for_all(
        cases,
        |device, (mut inputs, targets, ignore_index, label_smoothing, reduction, rows)| {
            if targets.iter().all(|t| *t == ignore_index) && matches!(reduction, Reduction::Mean) {
                return Ok(());
            }
            inputs.push(Input::indices([rows], targets)?);
            let params = CrossEntropy { label_smoothing, ignore_index };
            Ok(check_op!(
                device,
                &inputs,
                |x| x[0].cross_entropy_with(x[1].array(), &params, reduction),
                params,
                reduction
            )?)
        },
    );
}

//! Mistakes that depend on what is tracked, recorded or fed in, and on nothing else.

use ferrotape_autograd::{Backward, Forward, InputGrads, Op, Tensor};
use ferrotape_backend::{Array, Result};
use ferrotape_gradcheck::strategy::{Values, inputs, shapes};
use ferrotape_gradcheck::{Input, Law};
use proptest::strategy::{Just, Strategy};

use crate::caught;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mistake {
    None,
    /// Another value where a backward pass will follow.
    ValueInTraining,
    /// Another gradient where what is fed in is not contiguous.
    FedLayout,
    /// A second derivative only where what is fed in is tracked, in place of where it is recorded.
    FedTracked,
    /// Another gradient in a recorded pass that does not need both.
    RecordedInPart,
}

/// The product of two tensors of one shape.
#[derive(Debug)]
struct Product(Mistake);

impl Op for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        cx.save_input(0);
        cx.save_input(1);
        let [a, b] = [inputs[0], inputs[1]].map(|a| Tensor::from(a.clone()));
        let wrong = self.0 == Mistake::ValueInTraining && cx.tracked();
        Ok(a.mul(&b)?.mul_scalar(if wrong { 1.5 } else { 1.0 })?.into_array())
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let both = cx.needs(0) && cx.needs(1);
        let factor = match self.0 {
            Mistake::ValueInTraining => 1.5,
            Mistake::FedLayout if !grad.layout().is_contiguous() => 3.0,
            Mistake::RecordedInPart if cx.recording() && !both => 2.0,
            _ => 1.0,
        };
        let of = |i: usize| -> Result<Option<Tensor>> {
            let other = cx.input(1 - i)?;
            let lost = self.0 == Mistake::FedTracked && !grad.is_tracked();
            let other = if lost { other.detach() } else { other };
            cx.needs(i).then(|| grad.mul(&other)?.mul_scalar(factor)).transpose()
        };
        Ok([of(0)?, of(1)?].into_iter().collect())
    }
}

fn two() -> impl Strategy<Value = (Vec<Input>, ())> {
    shapes(2..=3, 3)
        .prop_flat_map(|shape| (inputs(vec![shape.clone(), shape], Values::Any), Just(())))
}

fn law(mistake: Mistake) -> Option<Law> {
    caught(two(), true, move |x, ()| Tensor::apply(Product(mistake), &[&x[0], &x[1]]))
}

#[test]
fn the_product_itself_passes() {
    assert_eq!(law(Mistake::None), None);
}

#[test]
fn a_value_that_differs_where_it_is_tracked_is_caught() {
    assert_eq!(law(Mistake::ValueInTraining), Some(Law::Value));
}

#[test]
fn a_gradient_that_depends_on_the_layout_of_what_is_fed_in_is_caught() {
    assert_eq!(law(Mistake::FedLayout), Some(Law::Layout));
}

#[test]
fn a_second_derivative_that_is_lost_where_a_constant_is_fed_in_is_caught() {
    assert_eq!(law(Mistake::FedTracked), Some(Law::SecondDerivative));
}

#[test]
fn a_recorded_gradient_that_differs_with_one_input_tracked_is_caught() {
    assert_eq!(law(Mistake::RecordedInPart), Some(Law::Partial));
}

//! The checker checked: operators with wrong gradients are caught within the default number of
//! cases, by the law that is to catch them, and operators with right ones are never flagged.

mod convolution;
mod elementwise;
mod equality;
mod hidden;
mod layers;
mod linear;
mod loss;
mod norm;
mod pooling;
mod recurrent;
mod report;
mod right;
mod tracking;

use std::cell::Cell;
use std::fmt::Debug;

use ferrotape_autograd::{Backward, BackwardOptions, Forward, InputGrads, Op, Tape, Tensor};
use ferrotape_backend::{Array, Device, Result, reference::Reference};
use ferrotape_gradcheck::strategy::runner;
use ferrotape_gradcheck::{Failure, Input, Law, Options, check_op};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};

/// The gradients of all inputs, from the inputs, what is fed in, and the attributes.
type Rule<A> = fn(&[Tensor], &Tensor, A) -> Result<Vec<Option<Tensor>>>;

/// An operator with any backward rule.
#[derive(Debug, Clone, Copy)]
struct Custom<A> {
    attributes: A,
    forward: fn(&[Tensor], A) -> Result<Tensor>,
    backward: Rule<A>,
}

impl<A: Copy + Debug + Send + Sync + 'static> Op for Custom<A> {
    fn name(&self) -> &'static str {
        "custom"
    }

    fn forward(&self, cx: &mut Forward<'_>, inputs: &[&Array]) -> Result<Array> {
        let tensors: Vec<Tensor> = inputs.iter().map(|a| Tensor::from((*a).clone())).collect();
        (0..inputs.len()).for_each(|index| cx.save_input(index));
        Ok((self.forward)(&tensors, self.attributes)?.into_array())
    }

    fn backward(&self, cx: &Backward<'_>, grad: &Tensor) -> Result<InputGrads> {
        let inputs = (0..cx.inputs()).map(|i| cx.input(i)).collect::<Result<Vec<_>>>()?;
        let grads = (self.backward)(&inputs, grad, self.attributes)?.into_iter().enumerate();
        Ok(grads.map(|(index, grad)| grad.filter(|_| cx.needs(index))).collect())
    }
}

/// The right gradients of `forward`, by a tape of their own: what a mutant alters.
fn real<A>(
    forward: fn(&[Tensor], A) -> Result<Tensor>,
    inputs: &[Tensor],
    grad: &Tensor,
    attributes: A,
) -> Result<Vec<Tensor>> {
    let tape = Tape::new();
    let place = |x: &Tensor| match x.dtype().is_float() {
        true => tape.variable(x.array().clone()),
        false => Ok(x.detach()),
    };
    let inputs = inputs.iter().map(place).collect::<Result<Vec<_>>>()?;
    let y = forward(&inputs, attributes)?;
    let seed = grad.detach();
    let options = BackwardOptions { seed: Some(&seed), ..BackwardOptions::default() };
    let grads = y.backward_with(&options)?;
    let floats = inputs.iter().filter(|x| x.dtype().is_float());
    floats.map(|x| grads.of(x).map(Tensor::detach)).collect()
}

/// The gradients of inputs that all have one.
fn some(grads: Vec<Tensor>) -> Vec<Option<Tensor>> {
    grads.into_iter().map(Some).collect()
}

/// The law that catches an operator within the default number of cases, if one does.
fn caught<A>(
    cases: impl Strategy<Value = (Vec<Input>, A)>,
    second_derivative: bool,
    op: impl Fn(&[Tensor], A) -> Result<Tensor>,
) -> Option<Law>
where
    A: Copy + Debug,
{
    let device = Device::new(Reference::new());
    let law = Cell::new(None);
    let config = Config { max_shrink_iters: 0, ..runner().config().clone() };
    let outcome = TestRunner::new(config).run(&cases, |(inputs, attributes)| {
        let options = Options { second_derivative, ..Options::default() };
        let checked = check_op!(&device, &inputs, |x| op(x, attributes), attributes; options);
        law.set(checked.as_ref().err().map(Failure::law));
        Ok(checked?)
    });
    outcome.err().and_then(|_| law.get())
}

/// Asserts that a wrong rule for the gradients of `forward` breaks the law of the gradient.
#[track_caller]
fn caught_by_gradient<A: Copy + Debug + Send + Sync + 'static>(
    cases: impl Strategy<Value = (Vec<Input>, A)>,
    forward: fn(&[Tensor], A) -> Result<Tensor>,
    backward: Rule<A>,
) {
    let law = caught(cases, false, |x, attributes| {
        let op = Custom { attributes, forward, backward };
        Tensor::apply(op, &x.iter().collect::<Vec<_>>())
    });
    assert_eq!(law, Some(Law::Gradient));
}

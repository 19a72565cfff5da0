//! Mistakes in the gradients of an LSTM that runs over several steps.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Device, Result, reference::Reference};
use ferrotape_gradcheck::strategy::{Values, inputs};
use ferrotape_gradcheck::{Input, Law, check_layer};
use ferrotape_nn::{
    CellConfig, Init, Layer, LstmCell, Module, Pass, Path, Recurrent, RecurrentCell,
    RecurrentConfig, lstm_step,
};
use proptest::strategy::{Just, Strategy};

use crate::{caught_by_gradient, real, some};

const WEIGHT_HH: usize = 4;
const BIAS_HH: usize = 6;

/// `[x, h, c, weight_ih, weight_hh, bias_ih, bias_hh]` for three steps.
pub(crate) fn cases() -> impl Strategy<Value = (Vec<Input>, ())> {
    (1..=2usize, 1..=3usize, 1..=3usize).prop_flat_map(|(n, i, h)| {
        let state = vec![n, h];
        let shapes = vec![
            vec![3, n, i],
            state.clone(),
            state,
            vec![4 * h, i],
            vec![4 * h, h],
            vec![4 * h],
            vec![4 * h],
        ];
        (inputs(shapes, Values::Any), Just(()))
    })
}

/// All outputs and the last memory, each step taken by a closure that is told which it is.
fn unrolled(
    x: &[Tensor],
    step: impl Fn(usize, &Tensor, [Tensor; 2]) -> Result<[Tensor; 2]>,
) -> Result<Tensor> {
    let &[steps, n, i] = x[0].shape().dims() else { unreachable!("cases() gives three sizes") };
    let mut state = [x[1].clone(), x[2].clone()];
    let mut parts = Vec::new();
    for t in 0..steps {
        let now = x[0].narrow(0, t, 1)?.reshape(&[n as isize, i as isize])?;
        state = step(t, &now.linear(&x[3], Some(&x[5]))?, state)?;
        parts.push(state[0].clone());
    }
    parts.push(state[1].clone());
    Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0)
}

pub(crate) fn forward(x: &[Tensor], (): ()) -> Result<Tensor> {
    unrolled(x, |_, projected, state| {
        lstm_step(projected, &state, &x[WEIGHT_HH], Some(&x[BIAS_HH]))
    })
}

/// The hidden size.
fn hidden(x: &[Tensor]) -> usize {
    x[WEIGHT_HH].shape()[1]
}

/// `h weight_hhᵀ + bias_hh`.
fn recurrent(x: &[Tensor], h: &Tensor) -> Result<Tensor> {
    h.linear(&x[WEIGHT_HH], Some(&x[BIAS_HH]))
}

/// The real step from the sum of both products on: the state's product is in `gates` already.
fn from_gates(x: &[Tensor], gates: &Tensor, c: Tensor) -> Result<[Tensor; 2]> {
    let nothing = [&x[WEIGHT_HH], &c].map(|like| like.detach().mul_scalar(0.0));
    let [weight, h] = nothing;
    lstm_step(gates, &[h?, c], &weight?, None)
}

/// The gates in another order, or with the gradient of some cut off.
fn rearranged(gates: &Tensor, order: [usize; 4], cut: Option<usize>) -> Result<Tensor> {
    let hidden = gates.shape()[gates.shape().rank() - 1] / 4;
    let part = |index: usize| {
        let part = gates.narrow(-1, index * hidden, hidden)?;
        Ok(if cut == Some(index) { part.detach() } else { part })
    };
    let parts = order.map(part).into_iter().collect::<Result<Vec<_>>>()?;
    Tensor::cat(&parts.iter().collect::<Vec<_>>(), -1)
}

#[test]
fn what_the_mutants_are_built_with_is_right_without_a_mistake() {
    let law = crate::caught(cases(), false, |x, ()| {
        unrolled(x, |_, projected, [h, c]| {
            let change = h.sub(&h.detach())?.linear(&x[WEIGHT_HH].detach(), None)?;
            let gates = projected.add(&recurrent(x, &h.detach())?)?.add(&change)?;
            let gates = rearranged(&gates, [0, 2, 1, 3], None)?;
            from_gates(x, &rearranged(&gates, [0, 2, 1, 3], None)?, c)
        })
    });
    assert_eq!(law, None);
}

#[test]
fn a_dropped_gradient_of_the_forget_gate_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let altered = |x: &[Tensor], ()| {
            unrolled(x, |_, projected, [h, c]| {
                let gates = projected.add(&recurrent(x, &h)?)?;
                from_gates(x, &rearranged(&gates, [0, 1, 2, 3], Some(1))?, c)
            })
        };
        Ok(some(real(altered, x, g, ())?))
    });
}

#[test]
fn a_recurrent_weight_whose_gradient_each_step_overwrites_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let altered = |x: &[Tensor], ()| {
            // A backward pass comes to the first step last, whose gradient is what stays.
            unrolled(x, |t, projected, state| {
                let weight = &x[WEIGHT_HH];
                let weight = if t == 0 { weight.clone() } else { weight.detach() };
                lstm_step(projected, &state, &weight, Some(&x[BIAS_HH]))
            })
        };
        Ok(some(real(altered, x, g, ())?))
    });
}

#[test]
fn a_recurrent_weight_transposed_in_the_gradient_of_the_state_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let altered = |x: &[Tensor], ()| {
            let size = hidden(x) as isize;
            let blocks = x[WEIGHT_HH].detach().reshape(&[4, size, size])?.transpose(1, 2)?;
            let transposed = blocks.reshape(&[4 * size, size])?;
            unrolled(x, |_, projected, [h, c]| {
                // The difference is 0 and has the gradient of the state.
                let change = h.sub(&h.detach())?.linear(&transposed, None)?;
                let gates = projected.add(&recurrent(x, &h.detach())?)?.add(&change)?;
                from_gates(x, &gates, c)
            })
        };
        Ok(some(real(altered, x, g, ())?))
    });
}

#[test]
fn gates_in_another_order_in_the_gradient_are_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let mut grads = real(forward, x, g, ())?;
        for grad in &mut grads[3..] {
            // The gates are the rows of weights and the elements of biases.
            let rows = grad.reshape(&[4 * hidden(x) as isize, -1])?.transpose(0, 1)?;
            let rows = rearranged(&rows, [0, 2, 1, 3], None)?.transpose(0, 1)?;
            *grad = rows.reshape(&grad.shape().iter().map(|&s| s as isize).collect::<Vec<_>>())?;
        }
        Ok(some(grads))
    });
}

#[test]
fn a_bias_that_only_the_last_step_gives_a_gradient_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let altered = |x: &[Tensor], ()| {
            unrolled(x, |t, projected, state| {
                let bias = if t == 2 { x[BIAS_HH].clone() } else { x[BIAS_HH].detach() };
                lstm_step(projected, &state, &x[WEIGHT_HH], Some(&bias))
            })
        };
        Ok(some(real(altered, x, g, ())?))
    });
}

#[test]
fn a_missing_gradient_of_a_bias_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let mut grads = real(forward, x, g, ())?;
        grads[BIAS_HH] = grads[BIAS_HH].mul_scalar(0.0)?;
        Ok(some(grads))
    });
}

#[test]
fn a_state_cut_off_between_steps_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let altered = |x: &[Tensor], ()| {
            unrolled(x, |t, projected, [h, c]| {
                let h = if t == 2 { h.detach() } else { h };
                lstm_step(projected, &[h, c], &x[WEIGHT_HH], Some(&x[BIAS_HH]))
            })
        };
        Ok(some(real(altered, x, g, ())?))
    });
}

#[test]
fn a_memory_cut_off_between_steps_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let altered = |x: &[Tensor], ()| {
            unrolled(x, |t, projected, [h, c]| {
                let c = if t == 2 { c.detach() } else { c };
                lstm_step(projected, &[h, c], &x[WEIGHT_HH], Some(&x[BIAS_HH]))
            })
        };
        Ok(some(real(altered, x, g, ())?))
    });
}

#[test]
fn a_wrong_sign_in_the_gradient_of_the_input_is_caught() {
    caught_by_gradient(cases(), forward, |x, g, ()| {
        let mut grads = real(forward, x, g, ())?;
        grads[0] = grads[0].neg()?;
        Ok(some(grads))
    });
}

/// What a cell forgets in its gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Forgets {
    Nothing,
    Memory,
    Weight,
    Bias,
}

/// The real cell, but for what it forgets.
#[derive(Debug, Module)]
struct Forgetful {
    #[module(rename = "")]
    inner: LstmCell,
    #[module(skip)]
    forgets: Forgets,
    path: Path,
}

impl Layer for Forgetful {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        cx.within(self, || self.step(cx, x, None).map(|[h, _]| h))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl RecurrentCell<2> for Forgetful {
    fn input_size(&self) -> usize {
        self.inner.input_size()
    }

    fn hidden_size(&self) -> usize {
        self.inner.hidden_size()
    }

    fn project(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        self.inner.project(cx, x)
    }

    fn advance(&self, cx: &Pass, projected: &Tensor, [h, c]: &[Tensor; 2]) -> Result<[Tensor; 2]> {
        let (mut weight, mut bias) = self.inner.weights.recurrent(cx)?;
        let mut c = c.clone();
        match self.forgets {
            Forgets::Nothing => {}
            Forgets::Memory => c = c.detach(),
            // Untracked at all steps but the first, whose state is a constant.
            Forgets::Weight if h.is_tracked() => weight = weight.detach(),
            Forgets::Weight => {}
            Forgets::Bias => bias = bias.map(|bias| bias.detach()),
        }
        lstm_step(projected, &[h.clone(), c], &weight, bias.as_ref())
    }
}

/// The law that an LSTM layer of such cells breaks.
fn broken(forgets: Forgets) -> Option<Law> {
    let device = Device::new(Reference::new());
    let values = [0.3, -0.7, 1.1, -1.9, 0.2, 0.6, -0.4, 0.9, 1.3, -1.2, 0.5, 0.8];
    let input = Input::new([2, 3, 2], values).expect("twelve values fill two times three pairs");
    let config = RecurrentConfig::new(2, 2).num_layers(2).bidirectional(true).batch_first(true);
    let make = |init: &Init| {
        Recurrent::of(init, config, |init: &Init, cell: CellConfig| {
            let inner = LstmCell::new(init, cell)?;
            Ok(Forgetful { inner, forgets, path: init.path().clone() })
        })
    };
    let checked = check_layer!(&device, &input, make, forgets, config);
    checked.err().map(|failure| failure.law())
}

#[test]
fn layers_of_forgetful_cells_are_caught_and_of_right_ones_are_not() {
    assert_eq!(broken(Forgets::Nothing), None);
    assert_eq!(broken(Forgets::Memory), Some(Law::Gradient));
    assert_eq!(broken(Forgets::Weight), Some(Law::Gradient));
    assert_eq!(broken(Forgets::Bias), Some(Law::NothingMissing));
}

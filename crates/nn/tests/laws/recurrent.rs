//! Recurrent cells and layers obey the laws of layers and operators, also unrolled, where a weight
//! is shared by all steps.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{DType, Device, Result, Rng};
use ferrotape_gradcheck::strategy::{Values, inputs};
use ferrotape_gradcheck::{Input, LayerOptions, Options, check_layer, check_op};
use ferrotape_nn::{
    CellConfig, Gru, GruCell, Init, LinearConfig, Lstm, LstmCell, Module, Nonlinearity, Pass,
    Recurrent, RecurrentCell, RecurrentConfig, Rnn, RnnCell, Sequential, gru, gru_step, lstm,
    lstm_step, rnn_step,
};
use proptest::prelude::any;
use proptest::strategy::{Just, Strategy};

use crate::layers::{for_all, one};

const NONLINEARITIES: [Nonlinearity; 2] = [Nonlinearity::Tanh, Nonlinearity::Relu];

/// Sizes from 1 to 3.
fn sizes<const N: usize>() -> impl Strategy<Value = [usize; N]> {
    proptest::collection::vec(1..=3usize, N)
        .prop_map(|sizes| sizes.try_into().expect("as many sizes as were asked for"))
}

#[test]
fn cells_obey_the_laws() {
    let cases = (sizes(), any::<bool>()).prop_flat_map(|([n, i, h], bias)| {
        (one(vec![n, i]), Just(CellConfig::new(i, h).bias(bias)))
    });
    for_all(cases, |device, (input, config)| {
        for f in NONLINEARITIES {
            check_layer!(device, &input, |init| RnnCell::new(init, config, f), config, f)?;
        }
        check_layer!(device, &input, |init| LstmCell::new(init, config), config)?;
        Ok(check_layer!(device, &input, |init| GruCell::new(init, config), config)?)
    });
}

/// Configurations of at most two layers, and a sequence that fits.
fn sequences() -> impl Strategy<Value = (Input, RecurrentConfig)> {
    let switches = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (sizes(), 1..=2usize, switches).prop_flat_map(
        |([t, n, i, h], layers, (bias, first, both, drop))| {
            let config = RecurrentConfig::new(i, h)
                .num_layers(layers)
                .bias(bias)
                .batch_first(first)
                .bidirectional(both)
                .dropout(if drop { 0.4 } else { 0.0 });
            (one(if first { vec![n, t, i] } else { vec![t, n, i] }), Just(config))
        },
    )
}

/// The first dimension is that of the samples only if the batch is in front.
fn options(config: &RecurrentConfig) -> LayerOptions {
    LayerOptions { batch_independent: config.batch_first, ..LayerOptions::default() }
}

#[test]
fn plain_recurrent_layers_obey_the_laws() {
    for_all(sequences(), |device, (input, config)| {
        for f in NONLINEARITIES {
            let options = options(&config);
            check_layer!(device, &input, |init| Rnn::new(init, config, f), config, f; options)?;
        }
        Ok(())
    });
}

#[test]
fn lstms_obey_the_laws() {
    for_all(sequences(), |device, (input, config)| {
        let options = options(&config);
        Ok(check_layer!(device, &input, |init| Lstm::new(init, config), config; options)?)
    });
}

#[test]
fn grus_obey_the_laws() {
    for_all(sequences(), |device, (input, config)| {
        let options = options(&config);
        Ok(check_layer!(device, &input, |init| Gru::new(init, config), config; options)?)
    });
}

#[test]
fn recurrent_layers_in_a_sequential_model_obey_the_laws() {
    let model = |init: &Init| {
        Sequential::new(init)
            .add(lstm(RecurrentConfig::new(2, 2).batch_first(true)))?
            .named("back", gru(RecurrentConfig::new(2, 1).batch_first(true).bidirectional(true)))?
            .add(LinearConfig::new(2, 2))
    };
    for_all(one(vec![2, 3, 2]), |device, input| Ok(check_layer!(device, &input, model)?));
}

/// A cell with its parameters as tensors: the input's product and the state to the next state.
type Step<const STATES: usize> =
    fn(&Tensor, &[Tensor; STATES], &Tensor, Option<&Tensor>) -> Result<[Tensor; STATES]>;

/// The outputs at all steps and the last state of `[x, states.., weight_ih, weight_hh, biases..]`.
fn unrolled<const STATES: usize>(x: &[Tensor], step: Step<STATES>) -> Result<Tensor> {
    let (states, parameters) = x[1..].split_at(STATES);
    let mut state: [Tensor; STATES] = std::array::from_fn(|k| states[k].clone());
    let mut parts = Vec::new();
    for t in 0..x[0].shape()[0] {
        let now = x[0].narrow(0, t, 1)?.reshape(&[x[0].shape()[1] as isize, -1])?;
        let projected = now.linear(&parameters[0], parameters.get(2))?;
        state = step(&projected, &state, &parameters[1], parameters.get(3))?;
        parts.push(state[0].clone());
    }
    parts.extend(state.into_iter().skip(1));
    Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0)
}

/// Inputs of [`unrolled`]: three steps or four.
fn unrolled_cases(gates: usize, states: usize) -> impl Strategy<Value = Vec<Input>> {
    let sizes = (3..=4usize, 1..=2usize, 1..=2usize, 1..=3usize, any::<bool>());
    sizes.prop_flat_map(move |(t, n, i, h, bias)| {
        let mut shapes = vec![vec![t, n, i]];
        shapes.extend(vec![vec![n, h]; states]);
        shapes.extend([vec![gates * h, i], vec![gates * h, h]]);
        if bias {
            shapes.extend([vec![gates * h], vec![gates * h]]);
        }
        inputs(shapes, Values::Any)
    })
}

/// Without the gradients in every layout, which the operators inside are checked for.
fn quick() -> Options {
    Options { layouts: false, ..Options::default() }
}

#[test]
fn unrolled_plain_cells_have_first_and_second_derivatives_by_every_input_and_weight() {
    let tanh: Step<1> = |x, h, w, b| rnn_step(x, h, w, b, Nonlinearity::Tanh);
    for_all(unrolled_cases(1, 1), |device, inputs| {
        Ok(check_op!(device, &inputs, |x| unrolled(x, tanh); quick())?)
    });
}

#[test]
fn unrolled_lstm_cells_have_first_and_second_derivatives_by_every_input_and_weight() {
    for_all(unrolled_cases(4, 2), |device, inputs| {
        Ok(check_op!(device, &inputs, |x| unrolled(x, lstm_step); quick())?)
    });
}

#[test]
fn unrolled_gru_cells_have_first_and_second_derivatives_by_every_input_and_weight() {
    for_all(unrolled_cases(3, 1), |device, inputs| {
        Ok(check_op!(device, &inputs, |x| unrolled(x, gru_step); quick())?)
    });
}

/// Everything that a layer gives for `[x, states..]`, its parameters fixed.
fn ran<C: RecurrentCell<STATES>, const STATES: usize>(
    x: &[Tensor],
    make: impl Fn(&Init) -> Result<Recurrent<C, STATES>>,
) -> Result<Tensor> {
    let device = x[0].device().clone();
    let layer = make(&Init::new(&device, Rng::new(5)).dtype(DType::F64))?;
    let state: [Tensor; STATES] = std::array::from_fn(|k| x[k + 1].clone());
    let (y, last) = layer.run(&Pass::eval(&device), &x[0], Some(&state))?;
    let parts = [&[y], &last[..]].concat();
    let flat = parts.iter().map(|part| part.flatten(0)).collect::<Result<Vec<_>>>()?;
    Tensor::cat(&flat.iter().collect::<Vec<_>>(), 0)
}

/// Inputs of [`ran`], and the layer's configuration.
fn started(states: usize) -> impl Strategy<Value = (Vec<Input>, RecurrentConfig)> {
    sequences().prop_flat_map(move |(input, config)| {
        let mut shapes = vec![input.shape().to_vec()];
        let batch = shapes[0][usize::from(!config.batch_first)];
        let cells = config.num_layers * config.directions();
        shapes.extend(vec![vec![cells, batch, config.hidden_size]; states]);
        (inputs(shapes, Values::Any), Just(config))
    })
}

#[test]
fn initial_states_of_plain_recurrent_layers_have_first_and_second_derivatives() {
    let tanh = Nonlinearity::Tanh;
    for_all(started(1), |device, (inputs, config)| {
        let make = |init: &Init| Rnn::new(init, config, tanh);
        Ok(check_op!(device, &inputs, |x| ran(x, make), config; quick())?)
    });
}

#[test]
fn initial_states_of_lstms_have_first_and_second_derivatives() {
    for_all(started(2), |device, (inputs, config)| {
        let make = |init: &Init| Lstm::new(init, config);
        Ok(check_op!(device, &inputs, |x| ran(x, make), config; quick())?)
    });
}

#[test]
fn initial_states_of_grus_have_first_and_second_derivatives() {
    for_all(started(1), |device, (inputs, config)| {
        let make = |init: &Init| Gru::new(init, config);
        Ok(check_op!(device, &inputs, |x| ran(x, make), config; quick())?)
    });
}

fn close(a: &Tensor, b: &Tensor) -> bool {
    let (a, b) = (a.to_vec::<f64>().unwrap(), b.to_vec::<f64>().unwrap());
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12)
}

fn made(device: &Device, config: RecurrentConfig) -> Lstm {
    Lstm::new(&Init::new(device, Rng::new(3)).dtype(DType::F64), config).unwrap()
}

#[test]
fn a_sequence_run_in_two_parts_gives_what_it_gives_in_one() {
    for_all(one(vec![5, 2, 3]), |device, input| {
        let layer = made(device, RecurrentConfig::new(3, 2).num_layers(2));
        let (cx, x) = (Pass::eval(device), Tensor::from(input.on(device)?));
        let (whole, end) = layer.run(&cx, &x, None)?;
        let (front, middle) = layer.run(&cx, &x.narrow(0, 0, 2)?, None)?;
        let (back, last) = layer.run(&cx, &x.narrow(0, 2, 3)?, Some(&middle))?;
        proptest::prop_assert!(close(&whole, &Tensor::cat(&[&front, &back], 0)?));
        proptest::prop_assert!(end.iter().zip(&last).all(|(a, b)| close(a, b)));
        Ok(())
    });
}

#[test]
fn the_backward_direction_is_the_forward_one_on_the_reversed_sequence() {
    for_all(one(vec![4, 2, 3]), |device, input| {
        let both = made(device, RecurrentConfig::new(3, 2).bidirectional(true));
        let alone = made(device, RecurrentConfig::new(3, 2));
        let backward = both.cells()[1].weights.parameters();
        for (own, other) in alone.cells()[0].weights.parameters().iter().zip(backward) {
            own.set(other.value())?;
        }
        let (cx, x) = (Pass::eval(device), Tensor::from(input.on(device)?));
        let (y, [h, _]) = both.run(&cx, &x, None)?;
        let (reversed, [last, _]) = alone.run(&cx, &x.flip(0)?, None)?;
        proptest::prop_assert!(close(&y.narrow(2, 2, 2)?, &reversed.flip(0)?));
        proptest::prop_assert!(close(&h.narrow(0, 1, 1)?, &last));
        Ok(())
    });
}

//! What recurrent layers promise beside their formulas.

use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};

use super::*;
use crate::{CellWeights, Gru, Lstm, LstmCell, Nonlinearity, Rnn, Summary};

fn device() -> Device {
    Device::new(Reference::new())
}

fn scope(device: &Device) -> Init {
    Init::new(device, Rng::new(1)).at("memory")
}

fn zeros(device: &Device, shape: &[usize]) -> Tensor {
    Array::zeros(device, DType::F32, shape).unwrap().into()
}

#[test]
fn impossible_configurations_are_errors_that_name_the_layer() {
    let device = device();
    let config = RecurrentConfig::new(2, 3);
    for wrong in [
        RecurrentConfig::new(0, 3),
        RecurrentConfig::new(2, 0),
        RecurrentConfig::new(2, usize::MAX),
        RecurrentConfig::new(usize::MAX, 3),
        config.num_layers(0),
        config.num_layers(usize::MAX),
        config.dropout(1.5),
        config.dropout(f64::NAN),
    ] {
        let init = scope(&device);
        let error = Lstm::new(&init, wrong).unwrap_err().to_string();
        assert!(error.starts_with("memory"), "{wrong:?}: {error}");
        assert!(Gru::new(&init, wrong).is_err());
        assert!(Rnn::new(&init, wrong, Nonlinearity::Tanh).is_err());
    }
    for cell in [CellConfig::new(0, 1), CellConfig::new(1, 0)] {
        assert!(CellWeights::new(&scope(&device), cell, 4).is_err());
    }
}

#[test]
fn inputs_and_states_that_do_not_fit_are_errors_that_say_what_does() {
    let device = device();
    let lstm = Lstm::new(&scope(&device), RecurrentConfig::new(2, 3).num_layers(2)).unwrap();
    let cx = Pass::eval(&device);
    for wrong in [&[][..], &[2], &[4, 3], &[4, 1, 3], &[1, 4, 1, 2], &[0, 1, 2], &[1, 0, 2]] {
        let error = lstm.run(&cx, &zeros(&device, wrong), None).unwrap_err().to_string();
        assert!(error.starts_with("memory: "), "{wrong:?}: {error}");
    }
    let x = zeros(&device, &[4, 5, 2]);
    let right = zeros(&device, &[2, 5, 3]);
    for wrong in [&[2, 1, 3][..], &[1, 5, 3], &[2, 5, 2], &[2, 3], &[2, 5, 3, 1]] {
        for state in
            [[zeros(&device, wrong), right.clone()], [right.clone(), zeros(&device, wrong)]]
        {
            let error = lstm.run(&cx, &x, Some(&state)).unwrap_err().to_string();
            assert!(error.contains("[2, 5, 3]"), "{wrong:?}: {error}");
        }
    }
    assert!(lstm.run(&cx, &x, Some(&[right.clone(), right])).is_ok());
    let mixed = Array::zeros(&device, DType::F64, [4, 5, 2]).unwrap().into();
    assert!(lstm.run(&cx, &mixed, None).is_err(), "f64 does not mix with parameters of f32");

    let cell = LstmCell::new(&scope(&device), CellConfig::new(2, 3)).unwrap();
    let (x, good) = (zeros(&device, &[5, 2]), zeros(&device, &[5, 3]));
    for wrong in [&[1, 3][..], &[3], &[5, 2], &[]] {
        let state = [good.clone(), zeros(&device, wrong)];
        let error = cell.step(&cx, &x, Some(&state)).unwrap_err().to_string();
        assert!(error.starts_with("memory: ") && error.contains("[5, 3]"), "{error}");
    }
    for wrong in [&[][..], &[3], &[5, 3], &[1, 5, 2]] {
        assert!(cell.step(&cx, &zeros(&device, wrong), None).is_err(), "{wrong:?}");
    }
}

#[test]
fn one_sequence_is_a_batch_of_one() {
    let device = device();
    let x = Init::new(&device, Rng::new(2)).normal([4, 2], 0.0, 1.0).unwrap();
    let x = Tensor::from(x);
    for first in [false, true] {
        let config = RecurrentConfig::new(2, 3).bidirectional(true).batch_first(first);
        let layer = Gru::new(&scope(&device), config).unwrap();
        let cx = Pass::eval(&device);
        let (y, [h]) = layer.run(&cx, &x, None).unwrap();
        assert_eq!((y.shape().dims(), h.shape().dims()), (&[4, 6][..], &[2, 3][..]));
        let batch = x.unsqueeze(usize::from(!first)).unwrap();
        let (batch, _) = layer.run(&cx, &batch, None).unwrap();
        assert_eq!(y.to_vec::<f32>().unwrap(), batch.to_vec::<f32>().unwrap());
        let (_, [again]) = layer.run(&cx, &x, Some(&[h])).unwrap();
        assert_eq!(again.shape().dims(), [2, 3]);
    }
}

#[test]
fn dropout_changes_training_alone_and_only_between_layers() {
    let device = device();
    let x = Init::new(&device, Rng::new(2)).normal([4, 2, 3], 0.0, 1.0).unwrap();
    let run = |layers: usize, dropout: f64, train: bool| {
        let config = RecurrentConfig::new(3, 8).num_layers(layers).dropout(dropout);
        let layer = Lstm::new(&scope(&device), config).unwrap();
        let cx = match train {
            true => Pass::train(&device, Rng::new(4)),
            false => Pass::eval(&device),
        };
        layer.forward(&cx, &x.clone().into()).unwrap().to_vec::<f32>().unwrap()
    };
    assert_ne!(run(2, 0.5, true), run(2, 0.0, true));
    assert_eq!(run(2, 0.5, true), run(2, 0.5, true), "the same keys drop the same");
    assert_eq!(run(2, 0.5, false), run(2, 0.0, false));
    assert_eq!(run(1, 0.5, true), run(1, 0.0, true));
}

#[test]
fn autocast_computes_in_the_shorter_type_and_a_summary_knows_the_layer() {
    let device = device();
    let lstm = Lstm::new(&scope(&device), RecurrentConfig::new(2, 3)).unwrap();
    let (x, state) = (zeros(&device, &[4, 1, 2]), zeros(&device, &[1, 1, 3]));
    let cx = Pass::eval(&device).autocast(DType::BF16);
    let (y, [_, c]) = lstm.run(&cx, &x, Some(&[state.clone(), state])).unwrap();
    assert_eq!((y.dtype(), c.dtype()), (DType::BF16, DType::BF16));
    let summary = Summary::of(&lstm, x.into_array()).unwrap();
    let row = &summary.rows[0];
    assert_eq!((row.kind, row.parameters), ("Lstm", 4 * 3 * (2 + 3 + 2)));
    assert_eq!(row.multiply_adds, 4 * 12 * (2 + 3));
    assert_eq!(row.shape.dims(), [4, 1, 3]);
    let config = RecurrentConfig::new(1, 1);
    let [gru, rnn] = [
        Gru::new(&scope(&device), config).unwrap().kind(),
        Rnn::new(&scope(&device), config, Nonlinearity::Relu).unwrap().kind(),
    ];
    assert_eq!((gru, rnn), ("Gru", "Rnn"));
}

#[test]
fn first_values_lie_within_one_over_the_root_of_the_hidden_size() {
    let device = device();
    let lstm = Lstm::new(&scope(&device), RecurrentConfig::new(5, 16)).unwrap();
    for parameter in lstm.parameters() {
        let values = parameter.value().to_f64_vec().unwrap();
        assert!(values.iter().all(|v| v.abs() <= 0.25), "{}", parameter.path());
        assert!(values.iter().any(|v| v.abs() > 0.2) && values.iter().any(|v| *v < 0.0));
    }
    let [w, b] = [0, 2].map(|i| lstm.parameters()[i].value().to_f64_vec().unwrap());
    assert_ne!(w[..8], b[..8], "each parameter draws by its own path");
}

#[test]
fn long_sequences_run_and_differentiate() {
    let device = device();
    let gru = Gru::new(&scope(&device), RecurrentConfig::new(1, 1)).unwrap();
    let cx = Pass::train(&device, Rng::new(1));
    let y = gru.forward(&cx, &zeros(&device, &[1000, 1, 1])).unwrap();
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert!(gradients.norm().unwrap().is_finite());
}

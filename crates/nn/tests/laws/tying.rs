//! Weight tying: of any two layers, with one gradient, one step, and names that load.

use ferrotape_autograd::{Gradients, Tensor};
use ferrotape_backend::{Array, DType, Device, Result, Rng, reference::Reference};
use ferrotape_gradcheck::strategy::{self, Values, inputs};
use ferrotape_gradcheck::{Input, check_layer};
use ferrotape_nn::optim::{Optimizer, Sgd, SgdConfig};
use ferrotape_nn::{
    BatchNormConfig, Conv2dConfig, Embedding, EmbeddingConfig, Init, IntoLayer, Layer, Linear,
    LinearConfig, Lstm, Module, Nonlinearity, Parameter, Pass, Path, RecurrentConfig, Sequential,
    StateDict, Summary, gru, lstm, rnn,
};
use proptest::prop_assert;
use proptest::strategy::{Just, Strategy};
use proptest::test_runner::TestCaseError;

fn device() -> Device {
    Device::new(Reference::new())
}

fn init(device: &Device) -> Init {
    Init::new(device, Rng::new(7)).dtype(DType::F64)
}

/// A layer whose output has the shape of its input, and an input for two of them in a row.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Linear,
    Convolution,
    Norm,
    Rnn,
    Lstm,
    Gru,
    Nested,
}

fn layer(kind: Kind, size: usize, init: &Init) -> Result<Box<dyn Layer>> {
    let recurrent = RecurrentConfig::new(size, size);
    match kind {
        Kind::Linear => LinearConfig::new(size, size).into_layer(init),
        Kind::Convolution => Conv2dConfig::new(size, size, 3).padding(1).into_layer(init),
        Kind::Norm => BatchNormConfig::new(size).into_layer(init),
        Kind::Rnn => rnn(recurrent, Nonlinearity::Tanh).into_layer(init),
        Kind::Lstm => lstm(recurrent.num_layers(2)).into_layer(init),
        Kind::Gru => gru(recurrent.batch_first(true)).into_layer(init),
        Kind::Nested => Ok(Box::new(
            Sequential::new(init)
                .add(LinearConfig::new(size, 2))?
                .named("back", LinearConfig::new(2, size).bias(false))?,
        )),
    }
}

fn cases() -> impl Strategy<Value = (Kind, usize, Input)> {
    use Kind::{Convolution, Gru, Linear, Lstm, Nested, Norm, Rnn};
    let kinds = [Linear, Convolution, Norm, Rnn, Lstm, Gru, Nested];
    (0..kinds.len(), 1..=3usize, 2..=3usize, 1..=3usize).prop_flat_map(
        move |(kind, size, rows, other)| {
            let shape = match kinds[kind] {
                Convolution | Norm => vec![rows, size, other, 2],
                Linear | Nested => vec![rows, size],
                _ => vec![rows, other, size],
            };
            let inputs = inputs(vec![shape], Values::Any);
            (Just(kinds[kind]), Just(size), inputs.prop_map(|mut inputs| inputs.swap_remove(0)))
        },
    )
}

/// The gradients of both layers in a row.
fn gradients(input: &Input, device: &Device, layers: &[Box<dyn Layer>]) -> Result<Gradients> {
    let cx = Pass::train(device, Rng::new(1)).without_effects();
    let x = cx.input(input.on(device)?)?;
    let y = layers[1].forward(&cx, &layers[0].forward(&cx, &x)?.tanh()?)?;
    let weights = Init::new(device, Rng::new(9)).dtype(DType::F64);
    let weights = weights.normal(*y.shape(), 0.0, 1.0)?;
    y.mul(&weights.into())?.sum_all()?.backward()
}

fn assert_close(found: &[f64], expected: &[f64], what: &str) -> Result<(), TestCaseError> {
    prop_assert!(found.len() == expected.len(), "{what}");
    for (f, e) in found.iter().zip(expected) {
        prop_assert!((f - e).abs() <= 1e-10 * e.abs().max(1.0), "{what}: {f} for {e}");
    }
    Ok(())
}

fn sum(gradients: &Gradients, of: [&Parameter; 2]) -> Result<Vec<f64>> {
    gradients.of(of[0])?.add(gradients.of(of[1])?)?.to_vec::<f64>()
}

#[test]
fn the_gradient_of_a_tie_is_the_sum_of_the_untied_and_steps_once() {
    strategy::for_all(cases(), |(kind, size, input)| {
        let device = device();
        let first = layer(kind, size, &init(&device).at("first"))?;
        let apart = vec![first.clone(), first.clone()];
        let untied = gradients(&input, &device, &apart)?;
        let tied = vec![first.tied(Path::new("second")), first];
        let one = gradients(&input, &device, &tied)?;

        let listed = tied.parameters();
        prop_assert!(listed.len() == tied[0].parameters().len(), "each is listed once");
        prop_assert!(one.leaves().count() == listed.len(), "each has one gradient");
        prop_assert!(tied[0].path().as_str() == "second");
        let before: Vec<Vec<f64>> =
            listed.iter().map(|p| p.value().to_vec::<f64>()).collect::<Result<_>>()?;
        let mut sgd = Sgd::new(listed.clone(), SgdConfig { lr: 0.5, ..SgdConfig::default() })?;
        sgd.step(&one)?;
        let pairs = apart[0].parameters().into_iter().zip(apart[1].parameters());
        for ((parameter, before), (a, b)) in listed.iter().zip(&before).zip(pairs) {
            let expected = sum(&untied, [&a, &b])?;
            let name = parameter.path();
            assert_close(&one.of(parameter)?.to_vec::<f64>()?, &expected, name)?;
            let stepped: Vec<f64> =
                before.iter().zip(&expected).map(|(v, g)| v - 0.5 * g).collect();
            assert_close(&parameter.value().to_vec::<f64>()?, &stepped, name)?;
        }
        Ok(())
    });
}

#[test]
fn a_single_tied_parameter_has_the_sum_and_the_others_their_own() {
    strategy::for_all(cases(), |(kind, size, input)| {
        let device = device();
        let make = |name: &str| layer(kind, size, &init(&device).at(name));
        let (first, second) = (make("first")?, make("second")?);
        let dict = first.state_dict()?;
        second.load_state_dict(&dict, true)?;
        let apart = vec![first.clone(), second.clone()];
        let untied = gradients(&input, &device, &apart)?;
        let (name, shared) = first.named_parameters().swap_remove(0);
        let kept = second.parameters();
        let tied = vec![first, second.tie(&name, &shared)?];
        let one = gradients(&input, &device, &tied)?;
        let [a, b] = [apart[0].parameters(), apart[1].parameters()];
        let found = one.of(&shared)?.to_vec::<f64>()?;
        assert_close(&found, &sum(&untied, [&a[0], &b[0]])?, &name)?;
        for (own, other) in kept.iter().zip(&b).skip(1) {
            let expected = untied.of(other)?.to_vec::<f64>()?;
            assert_close(&one.of(own)?.to_vec::<f64>()?, &expected, own.path())?;
        }
        prop_assert!(tied.parameters().len() == 2 * kept.len() - 1);
        Ok(())
    });
}

/// An encoder and the decoder that is its transpose.
fn autoencoder(init: &Init, features: usize, code: usize) -> Result<Sequential> {
    let encoder = Linear::new(&init.at("0"), LinearConfig::new(features, code))?;
    let decoder = Linear::transposed(&encoder, &init.at("1"), true)?;
    let again = Linear::transposed(&decoder, &init.at("2"), false)?;
    let mut model = Sequential::new(init);
    model.push(Box::new(encoder));
    model.push(Box::new(decoder));
    model.push(Box::new(again));
    Ok(model)
}

#[test]
fn models_with_ties_obey_the_laws_of_layers() {
    let rows = (1..=3usize, 1..=3usize).prop_flat_map(|(features, code)| {
        let inputs = inputs(vec![vec![2, features]], Values::Any);
        (inputs.prop_map(|mut inputs| inputs.swap_remove(0)), Just(code))
    });
    strategy::for_all(rows, |(input, code)| {
        let (device, features) = (device(), input.shape()[1]);
        let tied = |init: &Init| autoencoder(init, features, code);
        Ok(check_layer!(&device, &input, tied, features, code)?)
    });
    let sequence = inputs(vec![vec![2, 3, 2]], Values::Any);
    strategy::for_all(sequence, |inputs| {
        let tied = |init: &Init| {
            let config = RecurrentConfig::new(2, 2).batch_first(true);
            let first = Lstm::new(&init.at("0"), config)?;
            let second = first.tied(init.at("1").path().clone());
            let mut model = Sequential::new(init);
            model.push(Box::new(first));
            model.push(Box::new(second));
            Ok(model)
        };
        Ok(check_layer!(&device(), &inputs[0], tied)?)
    });
}

#[test]
fn the_gradient_of_a_transposed_tie_is_the_sum_of_one_and_the_others_transpose() {
    let device = device();
    let init = init(&device);
    let model = autoencoder(&init, 3, 2).unwrap();
    let shared = model.parameters().swap_remove(0);
    let x = Init::new(&device, Rng::new(3)).dtype(DType::F64).normal([4, 3], 0.0, 1.0).unwrap();
    let cx = Pass::eval(&device).with_grad();
    let y = model.forward(&cx, &x.clone().into()).unwrap();
    let found = y.square().unwrap().sum_all().unwrap().backward().unwrap();

    let variable = |array: Array| cx.variable(array).unwrap();
    let weight = shared.value();
    let (first, last) = (variable(weight.copy().unwrap()), variable(weight.copy().unwrap()));
    let back = variable(weight.permute(&[1, 0]).unwrap().contiguous().unwrap());
    let biases: Vec<Tensor> = model.parameters().iter().skip(1).map(|p| p.value().into()).collect();
    let y = Tensor::from(x).linear(&first, Some(&biases[0])).unwrap();
    let y = y.linear(&back, Some(&biases[1])).unwrap().linear(&last, None).unwrap();
    let apart = y.square().unwrap().sum_all().unwrap().backward().unwrap();
    let back = apart.of(&back).unwrap().transpose(0, 1).unwrap();
    let expected = apart.of(&first).unwrap().add(&back).unwrap();
    let expected = expected.add(apart.of(&last).unwrap()).unwrap();
    let expected = expected.to_vec::<f64>().unwrap();
    assert_close(&found.of(&shared).unwrap().to_vec::<f64>().unwrap(), &expected, "sum").unwrap();
}

#[test]
fn an_output_tied_to_its_embedding_has_the_gradient_of_both() {
    let device = device();
    let init = init(&device);
    let words = Embedding::new(&init.at("words"), EmbeddingConfig::new(5, 3)).unwrap();
    let apart = Linear::new(&init.at("output"), LinearConfig::new(3, 5).bias(false)).unwrap();
    apart.weight.set(words.weight.value()).unwrap();
    let tied = apart.clone().tie("weight", &words.weight).unwrap();
    let sentence = Array::from_slice(&device, &[4i64, 0, 4, 2], [2, 2]).unwrap();
    let gradients = |output: &Linear| {
        let cx = Pass::train(&device, Rng::new(1));
        let hidden = words.forward(&cx, &sentence.clone().into()).unwrap().tanh().unwrap();
        let y = output.forward(&cx, &hidden).unwrap();
        y.square().unwrap().sum_all().unwrap().backward().unwrap()
    };
    let untied = sum(&gradients(&apart), [&words.weight, &apart.weight]).unwrap();
    let one = gradients(&tied);
    assert_eq!(one.leaves().count(), 1);
    let found = one.of(&words.weight).unwrap().to_vec::<f64>().unwrap();
    assert_close(&found, &untied, "words.weight").unwrap();
}

#[test]
fn a_tied_parameter_loads_from_any_of_its_names_and_from_no_two_values() {
    let device = device();
    let model = autoencoder(&init(&device), 3, 2).unwrap();
    let dict = model.state_dict().unwrap();
    let names = ["0.weight", "0.bias", "1.weight", "1.bias", "2.weight"];
    assert_eq!(dict.names().collect::<Vec<_>>(), names);
    let values = |name: &str| dict.get(name).unwrap().to_f64_vec().unwrap();
    assert_eq!(values("0.weight"), values("2.weight"));

    let other = |seed: u64| {
        let init = Init::new(&device, Rng::new(seed)).dtype(DType::F64);
        autoencoder(&init, 3, 2).unwrap()
    };
    let without = |names: &[&str]| -> StateDict {
        dict.iter().filter(|(name, _)| !names.contains(name)).map(|(n, a)| (n, a.clone())).collect()
    };
    for left in [&[][..], &["0.weight", "1.weight"], &["2.weight"]] {
        let fresh = other(8);
        let loaded = fresh.load_state_dict(&without(left), true).unwrap();
        assert!(loaded.missing.is_empty() && loaded.unexpected.is_empty());
        let found = fresh.state_dict().unwrap().to_bytes().unwrap();
        assert_eq!(found, dict.to_bytes().unwrap());
    }
    let fresh = other(8);
    let all = without(&["0.weight", "1.weight", "2.weight"]);
    let error = fresh.load_state_dict(&all, true).unwrap_err().to_string();
    assert!(error.contains("lacks 0.weight, 1.weight, 2.weight"), "{error}");

    let before = fresh.state_dict().unwrap().to_bytes().unwrap();
    let mut conflict = without(&[]);
    conflict.insert("2.weight", Array::zeros(&device, DType::F64, [2, 3]).unwrap());
    let error = fresh.load_state_dict(&conflict, false).unwrap_err().to_string();
    assert!(error.contains("0.weight and 2.weight are one"), "{error}");
    assert_eq!(fresh.state_dict().unwrap().to_bytes().unwrap(), before);
}

#[test]
fn a_tie_that_cannot_be_is_an_error_that_names_both() {
    let device = device();
    let init = init(&device);
    let linear =
        |name: &str, out: usize| Linear::new(&init.at(name), LinearConfig::new(2, out)).unwrap();
    let (a, b) = (linear("a", 3), linear("b", 2));
    let error = b.clone().tie("weigth", &a.weight).unwrap_err().to_string();
    assert!(error.contains("no parameter weigth") && error.contains("weight, bias"), "{error}");
    let error = b.clone().tie("weight", &a.weight).unwrap_err().to_string();
    assert!(error.contains("[2, 2]") && error.contains("a.weight"), "{error}");
    let elsewhere = Device::new(Reference::new());
    let other = Init::new(&elsewhere, Rng::new(1)).dtype(DType::F64).at("c");
    let other = Linear::new(&other, LinearConfig::new(2, 2)).unwrap();
    assert!(b.clone().tie("weight", &other.weight).unwrap_err().to_string().contains("c.weight"));
    assert!(Linear::transposed(&other, &init.at("d"), true).is_err());
    let bias = b.bias.as_ref().unwrap().id();
    let tied = b.tie("weight", &linear("e", 2).weight).unwrap();
    assert_eq!(tied.bias.as_ref().unwrap().id(), bias, "the other parameters stay");
}

#[test]
fn a_summary_counts_a_tied_parameter_once_and_a_clone_keeps_the_tie() {
    let device = device();
    let model = autoencoder(&init(&device), 3, 2).unwrap();
    let input = Array::zeros(&device, DType::F64, [1, 3]).unwrap();
    let summary = Summary::of(&model, input).unwrap();
    assert_eq!(summary.parameters, 6 + 2 + 3);
    let rows: Vec<usize> = summary.rows.iter().map(|row| row.parameters).collect();
    assert_eq!(rows, [8, 3, 0]);
    let clone = model.clone();
    assert_eq!(clone.parameters().len(), 3);
    assert_ne!(clone.parameters()[0].id(), model.parameters()[0].id());
}

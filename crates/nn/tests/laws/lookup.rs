//! Layers that look up, surround, rearrange or bend elements obey the laws of layers.

use ferrotape_autograd::Tensor;
use ferrotape_autograd::ops::Padding;
use ferrotape_gradcheck::strategy::{Values, images, inputs, shapes};
use ferrotape_gradcheck::{Input, check_layer};
use ferrotape_nn::{
    Activation, Embedding, EmbeddingConfig, Init, PReLU, PReLUConfig, Pad2d, Pad2dConfig,
    PixelShuffle, PixelUnshuffle,
};
use proptest::array::uniform4;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::sample::select;
use proptest::strategy::{Just, Strategy};

use crate::layers::{for_all, one};

#[test]
fn learned_slopes_obey_the_laws_shared_or_one_a_channel() {
    let cases = (shapes(2..=4, 3), any::<bool>()).prop_flat_map(|(shape, each)| {
        let num_parameters = if each { shape[1] } else { 1 };
        (one(shape), Just(PReLUConfig { num_parameters, ..PReLUConfig::default() }))
    });
    for_all(cases, |device, (input, config)| {
        Ok(check_layer!(device, &input, |init| PReLU::new(init, config), config)?)
    });
}

#[test]
fn embeddings_obey_the_laws_for_an_index_of_any_shape() {
    let cases = (2..=4usize, 1..=3usize, shapes(1..=3, 3), any::<bool>());
    let cases = cases.prop_flat_map(|(symbols, size, shape, padded)| {
        let count = shape.iter().product::<usize>();
        let mut config = EmbeddingConfig::new(symbols, size);
        if padded {
            // What is read has gradients: the padding symbol, which has none, does not occur.
            config = config.padding_idx(symbols - 1);
        }
        (vec(0..symbols as i64 - i64::from(padded), count), Just(shape), Just(config))
    });
    for_all(cases, |device, (positions, shape, config)| {
        let input = Input::indices(&shape, positions)?;
        Ok(check_layer!(device, &input, |init| Embedding::new(init, config), config)?)
    });
}

#[test]
fn paddings_obey_the_laws_in_every_mode() {
    let modes = [
        Padding::Constant(0.0),
        Padding::Constant(-1.5),
        Padding::Reflect,
        Padding::Replicate,
        Padding::Circular,
    ];
    let cases = (images(4), uniform4(0..=2usize), select(modes.to_vec()));
    let cases = cases.prop_flat_map(|(mut shape, padding, mode)| {
        shape[2] += 2;
        shape[3] += 2;
        (one(shape), Just(Pad2dConfig { padding, mode }))
    });
    for_all(cases, |device, (input, config)| {
        Ok(check_layer!(device, &input, |init| Pad2d::new(init, config), config)?)
    });
}

#[test]
fn pixel_shuffles_obey_the_laws_there_and_back() {
    let cases = (images(2), 1..=2usize).prop_flat_map(|(mut shape, factor)| {
        let mut wide = shape.clone();
        shape[1] *= factor * factor;
        wide[2] *= factor;
        wide[3] *= factor;
        (one(shape), one(wide), Just(factor))
    });
    for_all(cases, |device, (deep, wide, factor)| {
        check_layer!(device, &deep, |init| PixelShuffle::new(init, factor), factor)?;
        Ok(check_layer!(device, &wide, |init| PixelUnshuffle::new(init, factor), factor)?)
    });
}

#[test]
fn activations_obey_the_laws_as_layers() {
    type Named = (&'static str, fn(&Tensor) -> ferrotape_backend::Result<Tensor>);
    let functions: [Named; 8] = [
        ("relu6", Tensor::relu6),
        ("selu", Tensor::selu),
        ("celu", |x| x.celu(0.5)),
        ("mish", Tensor::mish),
        ("hardswish", Tensor::hardswish),
        ("hardsigmoid", Tensor::hardsigmoid),
        ("softsign", Tensor::softsign),
        ("tanhshrink", Tensor::tanhshrink),
    ];
    let cases = (shapes(1..=4, 3), select(functions.to_vec()));
    let cases = cases.prop_flat_map(|(shape, function)| {
        let values = Values::AwayFrom(&[-3.0, 3.0, 6.0]);
        (inputs(vec![shape], values), Just(function))
    });
    for_all(cases, |device, (inputs, (name, function))| {
        let make = |init: &Init| Ok(Activation::new(init, name, function));
        Ok(check_layer!(device, &inputs[0], make, name)?)
    });
}

//! Normalizing layers obey the laws of layers.

use ferrotape_gradcheck::check_layer;
use ferrotape_gradcheck::strategy::{images, shapes};
use ferrotape_nn::{
    GroupNorm, GroupNormConfig, InstanceNorm2d, InstanceNormConfig, LayerNorm, LayerNormConfig,
    LocalResponseNorm, LocalResponseNormConfig,
};
use proptest::prelude::any;
use proptest::strategy::{Just, Strategy};

use crate::layers::{for_all, one};

#[test]
fn layer_norms_obey_the_laws() {
    let cases = (shapes(1..=3, 3), any::<bool>(), any::<bool>(), 1..=3usize).prop_flat_map(
        |(mut shape, affine, bias, count)| {
            shape.insert(0, 2);
            let last = shape[shape.len() - count.min(shape.len() - 1)..].to_vec();
            let config = LayerNormConfig { affine, bias, eps: 1e-2, ..LayerNormConfig::new(last) };
            (one(shape), Just(config))
        },
    );
    for_all(cases, |device, (input, config)| {
        Ok(check_layer!(device, &input, |init| LayerNorm::new(init, config.clone()), config)?)
    });
}

#[test]
fn group_and_instance_norms_obey_the_laws() {
    let cases =
        (images(3), 1..=2usize, any::<bool>()).prop_flat_map(|(mut shape, groups, affine)| {
            shape[0] = 2;
            (shape[1], shape[3]) = (2 * groups, shape[3] + 1);
            let groups =
                GroupNormConfig { affine, eps: 1e-2, ..GroupNormConfig::new(groups, shape[1]) };
            let single =
                InstanceNormConfig { affine, eps: 1e-2, ..InstanceNormConfig::new(shape[1]) };
            (one(shape), Just((groups, single)))
        });
    for_all(cases, |device, (input, (groups, single))| {
        check_layer!(device, &input, |init| GroupNorm::new(init, groups), groups)?;
        Ok(check_layer!(device, &input, |init| InstanceNorm2d::new(init, single), single)?)
    });
}

#[test]
fn local_response_norms_obey_the_laws() {
    let cases = (shapes(2..=3, 4), 1..=5usize).prop_flat_map(|(mut shape, size)| {
        shape.insert(0, 2);
        (
            one(shape),
            Just(LocalResponseNormConfig { alpha: 0.7, ..LocalResponseNormConfig::new(size) }),
        )
    });
    for_all(cases, |device, (input, config)| {
        Ok(check_layer!(device, &input, |init| LocalResponseNorm::new(init, config), config)?)
    });
}

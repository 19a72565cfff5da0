//! Maps that are known by hand.

use ferrotape_backend::{Array, Device, Rng, reference::Reference};
use ferrotape_data::{FloatImage, Normalise};
use ferrotape_nn::{
    Conv2dConfig, Flatten, Init, LinearConfig, Module, Sequential, adaptive_avg_pool2d,
};

use super::*;

fn device() -> Device {
    Device::new(Reference::new())
}

fn set(network: &Sequential, name: &str, values: &[f32]) {
    let mut parameters = network.named_parameters().into_iter();
    let (_, parameter) = parameters.find(|(found, _)| found == name).unwrap();
    let shape = *parameter.value().shape();
    parameter.set(Array::from_slice(&parameter.device(), values, shape).unwrap()).unwrap();
}

/// No change of the pixels.
fn plain(channels: usize) -> Normalise {
    Normalise { mean: vec![0.0; channels], std: vec![1.0; channels] }
}

#[test]
fn the_saliency_of_a_linear_network_is_the_size_of_its_weights() {
    let device = device();
    let network = Sequential::new(&Init::new(&device, Rng::new(1)))
        .add(Flatten::new)
        .unwrap()
        .named("fc", LinearConfig::new(2 * 2, 2))
        .unwrap();
    set(&network, "fc.weight", &[1.0, 0.0, 0.5, 0.25, 3.0, -1.0, -4.0, 0.5]);
    let image = FloatImage::new(vec![0.1, 0.2, 0.3, 0.4], [2, 1, 2]).unwrap();
    let look = Look::new(&network, &device, image, &plain(2)).unwrap();
    // Class 1 has the weights 3, -1 for the first channel and -4, 1/2 for the second.
    let heat = look.saliency(Some(1)).unwrap();
    assert_eq!((heat.values, heat.height, heat.width), (vec![4.0, 1.0], 1, 2));
    let error = look.saliency(Some(2)).unwrap_err().to_string();
    assert!(error.contains("no class 2") && error.contains("tells 2 apart"), "{error}");
}

/// Two maps, `x` and `-2 x`, whose means are weighed by 3 and -1 for class 0 and by -3 and 1 for class 1.
fn two_maps(device: &Device) -> Sequential {
    let network = Sequential::new(&Init::new(device, Rng::new(1)))
        .named("conv", Conv2dConfig { bias: false, ..Conv2dConfig::new(1, 2, 1) })
        .unwrap()
        .named("pool", adaptive_avg_pool2d([1, 1]))
        .unwrap()
        .add(Flatten::new)
        .unwrap()
        .named("fc", LinearConfig::new(2, 2))
        .unwrap();
    set(&network, "conv.weight", &[1.0, -2.0]);
    set(&network, "fc.weight", &[3.0, -1.0, -3.0, 1.0]);
    set(&network, "fc.bias", &[0.0, 0.0]);
    network
}

#[test]
fn grad_cam_weighs_the_maps_by_the_mean_gradient() {
    let device = device();
    let network = two_maps(&device);
    let image = FloatImage::new(vec![0.0, 0.25, 0.5, 1.0], [1, 2, 2]).unwrap();
    let look = Look::new(&network, &device, image, &plain(1)).unwrap();
    // The mean over 4 pixels has the slope 1/4 in each: the weights are 3/4 and -1/4, and 3/4 x + 2/4 x = 5/4 x.
    let heat = look.grad_cam(None, None).unwrap();
    assert_eq!((heat.class, heat.layer.as_deref()), (0, Some("conv")));
    assert_eq!(heat.values, [0.0, 0.3125, 0.625, 1.25]);
    // For the other class nothing speaks.
    assert_eq!(look.grad_cam(Some(1), Some("conv")).unwrap().values, [0.0; 4]);
}

#[test]
fn feature_maps_are_the_layers_output_and_layers_are_found_by_name() {
    let device = device();
    let network = two_maps(&device);
    let image = FloatImage::new(vec![0.0, 0.25, 0.5, 1.0], [1, 2, 2]).unwrap();
    let look = Look::new(&network, &device, image, &plain(1)).unwrap();
    let maps = look.feature_maps(None).unwrap();
    assert_eq!((maps.layer.as_str(), maps.channels), ("conv", 2));
    assert_eq!(maps.values, [0.0, 0.25, 0.5, 1.0, 0.0, -0.5, -1.0, -2.0]);
    let error = look.feature_maps(Some("cnov")).unwrap_err().to_string();
    assert!(error.contains("no layer cnov; those that make maps are conv"), "{error}");
    let error = look.grad_cam(None, Some("fc")).unwrap_err().to_string();
    assert!(error.contains("the output of fc is") && error.contains("conv"), "{error}");
}

#[test]
fn maps_are_drawn_from_black_to_white_with_gaps() {
    let maps = FeatureMaps {
        layer: "conv".into(),
        channels: 3,
        height: 1,
        width: 2,
        values: vec![-1.0, 3.0, 5.0, 5.0, f32::NAN, 1.0],
    };
    let picture = Picture::maps(&maps, 2);
    assert_eq!((picture.height, picture.width), (5, 10));
    let grey = |y: usize, x: usize| picture.pixels[(y * 10 + x) * 3];
    assert_eq!((grey(2, 2), grey(2, 3)), (0, 255));
    assert_eq!((grey(2, 6), grey(2, 7)), (0, 0), "a map without contrast is black");
    assert_eq!((grey(0, 0), grey(2, 4)), (255, 255));
    let enlarged = picture.enlarged(3);
    assert_eq!((enlarged.height, enlarged.width), (15, 30));
    assert_eq!(enlarged.reduced(10).pixels, picture.pixels);
}

#[test]
fn of_many_layers_the_nearest_are_named() {
    let layers = (0..20).map(|i| format!("stage{i}.relu")).chain(["conv1".into(), "conv1".into()]);
    let said = nearest("cnov1", layers.collect());
    assert!(said.contains("nearest are conv1, stage"), "{said}");
    assert!(said.ends_with("and there are 13 more"), "{said}");
    assert_eq!(nearest("fc", Vec::new()), "it has none that makes maps");
}

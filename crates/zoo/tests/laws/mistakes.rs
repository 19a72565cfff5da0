//! What cannot be computed is an error that says so.

use ferrotape_backend::{Array, DType, Device, Rng, meta::Meta};
use ferrotape_nn::{Init, Pass};

#[test]
fn a_network_without_classes_is_an_error() {
    let device = Device::new(Meta::new());
    for entry in ferrotape_zoo::models() {
        let error = entry.build(&Init::new(&device, Rng::new(1)), 0).unwrap_err().to_string();
        assert!(error.contains(" 0 "), "{}: {error}", entry.name);
    }
}

#[test]
fn images_of_other_sizes_pass_or_are_errors_in_every_mode() {
    let device = Device::new(Meta::new());
    for entry in ferrotape_zoo::models() {
        let model = entry.build(&Init::new(&device, Rng::new(1)), entry.classes).unwrap();
        let labels = Array::zeros(&device, DType::I64, [2]).unwrap();
        let [channels, height, width] = entry.input;
        for (shape, passes) in [
            (vec![2, channels, height, width], Some(true)),
            (vec![2, channels + 1, height, width], Some(false)),
            // A network that pads every window takes the smallest image, others do not.
            (vec![2, channels, 1, 1], None),
            (vec![2, channels, 2, width], None),
            (vec![2, channels, 0, width], Some(false)),
            (vec![channels, height, width], Some(false)),
            (vec![2, channels * height * width], Some(false)),
            (vec![], Some(false)),
        ] {
            let x = Array::zeros(&device, DType::F32, shape.as_slice()).unwrap();
            let cx = Pass::train(&device, Rng::new(1));
            let trained = model.loss(&cx, &cx.input(x.clone()).unwrap(), &labels);
            let passes = passes.unwrap_or(trained.is_ok());
            assert_eq!(trained.is_ok(), passes, "{} in training, {shape:?}", entry.name);
            let cx = Pass::eval(&device);
            let scores = model.scores(&cx, &cx.input(x).unwrap());
            assert_eq!(scores.is_ok(), passes, "{} in evaluation, {shape:?}", entry.name);
        }
    }
}

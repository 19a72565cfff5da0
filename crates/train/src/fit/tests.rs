//! Fit, evaluate and predict on images of one pixel.

use ferrotape_backend::reference::Reference;
use ferrotape_data::InMemory;
use ferrotape_nn::optim::{AdamConfig, SgdConfig};
use ferrotape_nn::{Flatten, Init, LinearConfig, Sequential};

use super::*;

/// Images of one pixel: class 1 is bright, with some that are hard to tell.
fn data() -> Arc<InMemory> {
    let pixels: Vec<u8> = (0..80_u32).map(|i| ((i * 37 % 80) * 3) as u8).collect();
    let labels = pixels.iter().map(|&pixel| usize::from(pixel > 120)).collect();
    Arc::new(InMemory::new(pixels, [1, 1, 1], labels, InMemory::numbered_classes(2)).unwrap())
}

fn layers() -> Sequential {
    let device = Device::new(Reference::new());
    let layers = Sequential::new(&Init::new(&device, Rng::new(3))).add(Flatten::new).unwrap();
    layers.add(LinearConfig::new(1, 2)).unwrap()
}

fn adam() -> AdamConfig {
    AdamConfig { lr: 0.1, ..AdamConfig::default() }
}

#[test]
fn fit_learns_goes_on_and_measures_what_was_asked_for() {
    let metrics = [Metric::Accuracy, Metric::TopK(2), Metric::F1, Metric::Auc];
    let mut model = Model::new(layers()).compile(adam(), Loss::default(), metrics);
    let history = model.fit(&data(), &data(), 8).unwrap();
    let losses: Vec<f64> = history.epochs.iter().map(|epoch| epoch.train.loss).collect();
    assert!(losses[7] < losses[0], "{losses:?}");
    let more = model.fit_alone(&data(), 8).unwrap();
    assert!(more.epochs[7].train.loss < losses[7]);
    assert_eq!(more.epochs[0].validation, None);
    let figures = model.evaluate(&data()).unwrap();
    assert_eq!(figures.value(Metric::TopK(2)), Some(1.0));
    // One pixel orders the images perfectly, wherever the threshold is.
    assert_eq!(figures.value(Metric::Auc), Some(1.0));
    assert!(figures.value(Metric::Accuracy).unwrap() > 0.9);
    assert_eq!(figures.value(Metric::Recall), None);
    let rows = model.predict(&data()).unwrap();
    assert_eq!((rows.len(), rows[0].len()), (80, 2));
    assert!((rows[0][0] + rows[0][1] - 1.0).abs() < 1e-6);
}

#[test]
fn workers_prepare_batches_and_change_no_bit() {
    let weights = [0, 1, 3].map(|workers| {
        let options = FitOptions { workers, batch_size: 7, ..FitOptions::default() };
        let mut model = Model::new(layers()).compile(adam(), Loss::default(), []).options(options);
        model.fit_alone(&data(), 3).unwrap();
        model.network().state_dict().unwrap().to_bytes().unwrap()
    });
    assert!(weights[0] == weights[1] && weights[0] == weights[2]);
}

/// Data whose code panics at one sample, once it was asked for all of them.
#[derive(Clone)]
struct Fragile(Arc<InMemory>, Arc<std::sync::atomic::AtomicUsize>);

impl Dataset for Fragile {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn sample(&self, index: usize) -> ferrotape_data::Result<ferrotape_data::Sample<'_>> {
        let asked = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        assert!(asked < self.0.len() || index != 41, "sample {index} fell off the shelf");
        self.0.sample(index)
    }

    fn classes(&self) -> &[String] {
        self.0.classes()
    }

    fn image_shape(&self) -> [usize; 3] {
        self.0.image_shape()
    }
}

#[test]
fn a_panic_of_the_data_in_a_later_epoch_is_an_error_and_training_can_go_on() {
    for workers in [0, 1, 3] {
        let options = FitOptions { workers, ..FitOptions::default() };
        let mut model = Model::new(layers()).compile(adam(), Loss::default(), []).options(options);
        let error = model.fit_alone(&Fragile(data(), Arc::default()), 3).unwrap_err().to_string();
        assert!(error.contains("sample 41 fell off the shelf"), "{workers} workers: {error}");
        model.fit_alone(&data(), 1).unwrap();
    }
}

#[test]
fn early_stopping_ends_with_the_best_weights() {
    let options = FitOptions { early_stop: 2, ..FitOptions::default() };
    let wild = SgdConfig { lr: 300.0, ..SgdConfig::default() };
    let mut model = Model::new(layers()).compile(wild, Loss::default(), []).options(options);
    let history = model.fit(&data(), &data(), 50).unwrap();
    let best = history.best.unwrap();
    assert!(history.epochs.len() < 50 && history.epochs.len() == best + 3);
    let lowest = history.epochs[best].validation.as_ref().unwrap().loss;
    assert_eq!(model.evaluate(&data()).unwrap().loss, lowest);
    assert!(model.fit_alone(&data(), 1).is_err());
}

#[test]
fn other_losses_are_what_they_say() {
    let squared = Model::new(layers()).compile(adam(), Loss::MeanSquaredError, []);
    let own = Loss::Custom(Arc::new(|scores, labels| {
        let target = ferrotape_autograd::Tensor::one_hot(labels, 2, scores.dtype())?;
        scores.sub(&target)?.square()?.mean_all()
    }));
    let custom = Model::new(layers()).compile(adam(), own, []);
    let [a, b] = [squared, custom].map(|model| model.evaluate(&data()).unwrap().loss);
    assert!((a - b).abs() < 1e-6, "{a} {b}");
}

#[test]
fn what_cannot_be_is_said() {
    let wrong = AdamConfig { lr: -1.0, ..AdamConfig::default() };
    let mut model = Model::new(layers()).compile(wrong, Loss::default(), []);
    let error = model.fit_alone(&data(), 1).unwrap_err().to_string();
    assert!(error.contains("lr"), "{error}");
    assert!(model.fit_alone(&data(), 1).unwrap_err().to_string().contains("compile the model"));

    let three = InMemory::numbered_classes(3);
    let three = Arc::new(InMemory::new(vec![0; 3], [1, 1, 1], vec![0, 1, 0], three).unwrap());
    let device = Device::new(Reference::new());
    let layers = Sequential::new(&Init::new(&device, Rng::new(3))).add(Flatten::new).unwrap();
    let layers = layers.add(LinearConfig::new(1, 3)).unwrap();
    let model = Model::new(layers).compile(adam(), Loss::default(), [Metric::Auc]);
    let error = model.evaluate(&three).unwrap_err().to_string();
    assert!(error.contains("two classes"), "{error}");
}

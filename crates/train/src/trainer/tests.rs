//! The loop on the smallest of models.

use std::sync::Arc;

use ferrotape_backend::reference::Reference;
use ferrotape_data::{InMemory, LoaderOptions, Normalise};
use ferrotape_nn::{Flatten, Init, LinearConfig, Module, Sequential};

use super::*;
use crate::config::{OptimizerName, ScheduleName};
use crate::{RunData, train_loader};

fn model(device: &Device) -> Sequential {
    let init = Init::new(device, Rng::new(1));
    Sequential::new(&init).add(Flatten::new).unwrap().add(LinearConfig::new(2, 2)).unwrap()
}

fn config() -> RunConfig {
    RunConfig { model: "line".into(), learning_rate: 0.1, ..Default::default() }
}

/// Four samples in batches of two.
fn loader() -> Loader {
    let pixels = vec![0, 250, 250, 0, 10, 240, 230, 20];
    let classes = InMemory::numbered_classes(2);
    let data = InMemory::new(pixels, [1, 1, 2], vec![0, 1, 0, 1], classes).unwrap();
    let options = LoaderOptions { batch_size: 2, ..LoaderOptions::default() };
    Loader::new(Arc::new(data), options).unwrap()
}

#[test]
fn the_rate_rises_over_the_warmup_and_falls_as_half_a_cosine() {
    let device = Device::new(Reference::new());
    let model = model(&device);
    let rates = |schedule, warmup_epochs, steps: &[u64]| -> Vec<f64> {
        let config =
            RunConfig { epochs: 5, learning_rate: 2.0, warmup_epochs, schedule, ..config() };
        let trainer = Trainer::new(&model, &device, &config, 4).unwrap();
        steps.iter().map(|&step| trainer.learning_rate(step)).collect()
    };
    let close = |found: Vec<f64>, expected: &[f64]| {
        assert_eq!(found.len(), expected.len());
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
        assert!(found.iter().zip(expected).all(near), "{found:?}");
    };
    // Four steps of warm-up, then sixteen of cosine: half-way down at 12.
    let steps = [0, 1, 3, 4, 12, 20];
    close(rates(ScheduleName::Cosine, 1.0, &steps), &[0.4, 0.8, 1.6, 2.0, 1.0, 0.0]);
    close(rates(ScheduleName::Constant, 1.0, &steps), &[0.4, 0.8, 1.6, 2.0, 2.0, 2.0]);
    close(rates(ScheduleName::Cosine, 0.0, &[0, 10]), &[2.0, 1.0]);
    // A warm-up longer than the run never divides by zero.
    assert!(rates(ScheduleName::Cosine, 99.0, &steps).iter().all(|rate| rate.is_finite()));
}

#[test]
fn a_loss_that_is_no_number_names_its_epoch_and_step() {
    let device = Device::new(Reference::new());
    let model = model(&device);
    let config = config();
    let loader = loader();
    let mut trainer = Trainer::new(&model, &device, &config, loader.batches()).unwrap();
    trainer.epoch(1, &loader, &mut ()).unwrap();
    for parameter in model.parameters() {
        let nan = Array::full(&device, DType::F32, *parameter.value().shape(), f64::NAN);
        parameter.set(nan.unwrap()).unwrap();
    }
    let error = trainer.epoch(2, &loader, &mut ()).unwrap_err();
    assert!(matches!(error, Error::Diverged { epoch: 2, step: 3, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("step 3 in epoch 2, first in the parameter"), "{text}");
    assert!(text.contains("--lr"), "{text}");
}

#[test]
fn images_that_are_not_finite_are_not_laid_to_the_learning_rate() {
    let device = Device::new(Reference::new());
    let model = model(&device);
    let config = RunConfig { jitter: 1e300, ..config() };
    let images = Arc::clone(loader().dataset());
    let normalise = Normalise { mean: vec![0.5], std: vec![0.5] };
    let data = RunData { train: Arc::clone(&images), test: images, normalise };
    let loader = train_loader(&data, &config).unwrap();
    let mut trainer = Trainer::new(&model, &device, &config, loader.batches()).unwrap();
    let text = trainer.epoch(1, &loader, &mut ()).unwrap_err().to_string();
    assert!(text.contains("step 1 in epoch 1, first in the images; look at the images"), "{text}");
    assert!(text.contains("--jitter") && !text.contains("--lr"), "{text}");
}

#[test]
fn what_is_frozen_stays_and_the_rest_is_trained() {
    let device = Device::new(Reference::new());
    let model = model(&device);
    let config = RunConfig { freeze: vec!["*.bias".into()], ..config() };
    let before = model.state_dict().unwrap();
    let loader = loader();
    let mut trainer = Trainer::new(&model, &device, &config, loader.batches()).unwrap();
    trainer.epoch(1, &loader, &mut ()).unwrap();
    for (name, array) in model.state_dict().unwrap().iter() {
        let old = before.get(name).unwrap().to_vec::<f32>().unwrap();
        assert_eq!(array.to_vec::<f32>().unwrap() == old, name.ends_with(".bias"), "{name}");
    }
    for (patterns, said) in [("*", "no parameter of line"), ("nose.*", "'nose.*' fits no")] {
        let config = RunConfig { freeze: vec![patterns.into()], ..config.clone() };
        let error = Trainer::new(&model, &device, &config, 2).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_model_in_f64_is_given_images_in_f64() {
    let device = Device::new(Reference::new());
    let model = model(&device);
    model.to_dtype(DType::F64).unwrap();
    let config = RunConfig { dtype: "f64".into(), ..config() };
    let mut trainer = Trainer::new(&model, &device, &config, 2).unwrap();
    assert!(trainer.epoch(1, &loader(), &mut ()).unwrap().train_loss > 0.0);
}

/// The weights after an epoch with this configuration.
fn trained(config: &RunConfig) -> Vec<f64> {
    let device = Device::new(Reference::new());
    let model = model(&device);
    let loader = Loader::new(
        Arc::clone(loader().dataset()),
        LoaderOptions { batch_size: config.batch_size, ..LoaderOptions::default() },
    );
    let loader = loader.unwrap();
    let mut trainer = Trainer::new(&model, &device, config, loader.batches()).unwrap();
    trainer.epoch(1, &loader, &mut ()).unwrap();
    trainer.settle().unwrap();
    let values = model.parameters().into_iter().map(|p| p.value().to_f64_vec().unwrap());
    values.flatten().collect()
}

fn near(found: &[f64], expected: &[f64]) -> bool {
    found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6)
}

fn plain() -> RunConfig {
    let (optimizer, schedule) = (OptimizerName::Sgd, ScheduleName::Constant);
    RunConfig { optimizer, schedule, momentum: 0.0, batch_size: 2, ..config() }
}

#[test]
fn two_halves_of_a_batch_step_as_the_whole() {
    let whole = trained(&RunConfig { batch_size: 4, ..plain() });
    let halves = trained(&RunConfig { accumulate: 2, ..plain() });
    assert!(near(&halves, &whole), "{halves:?} for {whole:?}");
    // A last group that is not full is a step too.
    let rest = trained(&RunConfig { accumulate: 3, ..plain() });
    assert!(near(&rest, &whole), "{rest:?} for {whole:?}");
    assert!(!near(&trained(&plain()), &whole));
}

#[test]
fn gradients_are_cut_by_norm_and_by_value() {
    let start = trained(&RunConfig { learning_rate: 0.0, ..plain() });
    let one = RunConfig { batch_size: 4, learning_rate: 1.0, ..plain() };
    let moved = |config: &RunConfig| -> Vec<f64> {
        trained(config).iter().zip(&start).map(|(a, b)| a - b).collect()
    };
    let norm = |step: &[f64]| step.iter().map(|s| s * s).sum::<f64>().sqrt();
    let free = moved(&one);
    let cut = moved(&RunConfig { clip_norm: 0.01, ..one.clone() });
    assert!(norm(&free) > 0.05 && (norm(&cut) - 0.01).abs() < 1e-4, "{free:?} {cut:?}");
    let bounded = moved(&RunConfig { clip_value: 0.02, ..one });
    assert!(bounded.iter().all(|step| step.abs() <= 0.02 + 1e-7), "{bounded:?}");
}

#[test]
fn groups_have_their_own_rate_and_decay() {
    let start = trained(&RunConfig { learning_rate: 0.0, ..plain() });
    let still = RunConfig { lr_factor: vec!["*.bias=0".into()], ..plain() };
    let found = trained(&still);
    assert_eq!(found[4..], start[4..], "biases stay");
    assert_ne!(found[..4], start[..4]);
    let one = RunConfig { batch_size: 4, ..plain() };
    let decayed = RunConfig { weight_decay: 0.5, no_decay: vec!["*.weight".into()], ..one.clone() };
    let (decayed, free) = (trained(&decayed), trained(&one));
    assert_eq!(decayed[..4], free[..4]);
    assert!(!near(&decayed[4..], &free[4..]), "{decayed:?} {free:?}");
    let sparse =
        trained(&RunConfig { l1: 0.2, batch_size: 4, no_decay: vec!["*.bias".into()], ..plain() });
    let free = trained(&RunConfig { batch_size: 4, ..plain() });
    for ((sparse, free), start) in sparse.iter().zip(&free).zip(&start).take(4) {
        assert!((free - sparse - 0.1 * 0.2 * start.signum()).abs() < 1e-6, "{sparse} {free}");
    }
    for (config, said) in [
        (RunConfig { no_decay: vec!["nose.*".into()], ..plain() }, "'nose.*' fits no parameter"),
        (RunConfig { lr_factor: vec!["x".into()], ..plain() }, "lr_factor is 'x'"),
    ] {
        let device = Device::new(Reference::new());
        let error = Trainer::new(&model(&device), &device, &config, 2).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn the_average_of_weights_follows_them() {
    let start = trained(&RunConfig { learning_rate: 0.0, ..plain() });
    let one = RunConfig { batch_size: 4, ..plain() };
    let end = trained(&one);
    let average = trained(&RunConfig { ema: 0.75, ..one });
    for ((average, end), start) in average.iter().zip(&end).zip(&start) {
        assert!((average - (0.75 * start + 0.25 * end)).abs() < 1e-6);
    }
}

#[test]
fn every_optimizer_and_schedule_trains() {
    for (name, optimizer) in OptimizerName::ALL {
        for (_, schedule) in ScheduleName::ALL {
            let moved = trained(&RunConfig { optimizer, schedule, ..config() });
            assert!(moved.iter().all(|value| value.is_finite()), "{name}: {moved:?}");
        }
        let text = format!("model = 'm'\noptimizer = '{name}'");
        assert_eq!(RunConfig::from_toml(&text).unwrap().optimizer, optimizer);
    }
    for (name, schedule) in ScheduleName::ALL {
        let text = format!("model = 'm'\nvalidation = 0.1\nschedule = '{name}'");
        assert_eq!(RunConfig::from_toml(&text).unwrap().schedule, schedule);
    }
}

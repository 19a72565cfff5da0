//! Runs that are stopped and gone on with.

use std::path::Path;

use ferrotape_backend::{Rng, reference::Reference};
use ferrotape_data::InMemory;
use ferrotape_nn::{BatchNormConfig, DropoutConfig, Flatten, Init, LinearConfig, Sequential};
use proptest::prelude::*;

use super::*;
use crate::config::{OptimizerName, ScheduleName};

/// Eleven images of two by two, in batches of three, of three classes.
fn data() -> RunData {
    RunData { train: images(11), test: images(11), normalise: normalise() }
}

fn images(count: usize) -> Arc<dyn Dataset> {
    let pixels = (0..4 * count).map(|i| (i * 37 % 251) as u8).collect();
    let labels = (0..count).map(|i| i % 3).collect();
    Arc::new(InMemory::new(pixels, [1, 2, 2], labels, InMemory::numbered_classes(3)).unwrap())
}

fn normalise() -> Normalise {
    Normalise { mean: vec![0.5], std: vec![0.25] }
}

fn model(device: &Device) -> Sequential {
    let init = Init::new(device, Rng::new(3));
    let model = Sequential::new(&init).add(Flatten::new).unwrap().add(LinearConfig::new(4, 6));
    let model = model
        .unwrap()
        .add(|init: &Init| ferrotape_nn::BatchNorm1d::new(init, BatchNormConfig::new(6)));
    let model = model.unwrap().add(DropoutConfig { p: 0.3 }).unwrap();
    model.add(LinearConfig::new(6, 3)).unwrap()
}

fn config(optimizer: OptimizerName, checkpoint_every: Option<usize>) -> RunConfig {
    let (model, learning_rate) = ("line".into(), 0.05);
    let (epochs, batch_size) = (3, 3);
    RunConfig {
        model,
        learning_rate,
        epochs,
        batch_size,
        optimizer,
        checkpoint_every,
        ..Default::default()
    }
}

/// Stops after so many batches.
struct StopAfter {
    batches: usize,
    stop: Stop,
}

impl Reporter for StopAfter {
    fn batch_done(&mut self, _: &crate::progress::BatchDone) {
        self.batches = self.batches.saturating_sub(1);
        if self.batches == 0 {
            self.stop.ask();
        }
    }
}

/// One process: begins or goes on with the run at `place`, and stops after so many batches.
fn process(place: &Path, config: &RunConfig, batches: usize) -> Result<FinalRecord> {
    let device = Device::new(Reference::new());
    let (model, data, stop) = (model(&device), data(), Stop::default());
    let run = Run {
        model: &model,
        device: &device,
        config,
        environment: Environment::default(),
        layers: Vec::new(),
        started: Instant::now(),
        stop: stop.clone(),
    };
    let reporter = &mut StopAfter { batches, stop };
    if place.join(CHECKPOINT).exists() {
        let mut folder = RunFolder::resume(place)?;
        let config = &folder.read_config()?;
        Run { config, ..run }.resume(&data, &mut folder, reporter)
    } else {
        let mut folder = RunFolder::create(Some(place), "line")?;
        run.execute(&data, &mut folder, reporter)
    }
}

fn records(place: &Path) -> Vec<(usize, u64, u64, u64)> {
    let records = RunFolder::open(place).unwrap().read_records().unwrap();
    let figures = |record: &Record| match record {
        Record::Epoch(e) => {
            (e.epoch, e.train_loss.to_bits(), e.train_accuracy.to_bits(), e.learning_rate.to_bits())
        }
        Record::Final(last) => (0, last.test_loss.to_bits(), last.test_accuracy.to_bits(), 0),
    };
    records.iter().map(figures).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn a_run_that_was_stopped_anywhere_ends_as_one_that_was_not(
        stops in prop::collection::vec(1usize..9, 0..6),
        optimizer in prop::sample::select(vec![OptimizerName::Sgd, OptimizerName::AdamW]),
        every in prop::option::of(1usize..4),
        extras in any::<[bool; 4]>(),
    ) {
        let [averages, watches, mixes, accumulates] = extras;
        let mut config = config(optimizer, every);
        if averages {
            (config.ema, config.no_decay) = (0.9, vec!["*.bias".into()]);
        }
        if watches {
            (config.validation, config.keep) = (0.3, Keep::Best);
            (config.schedule, config.patience, config.early_stop) = (ScheduleName::Plateau, 1, 2);
        }
        if mixes {
            (config.mixup, config.label_smoothing, config.translate) = (0.5, 0.1, 1);
        }
        if accumulates {
            (config.accumulate, config.clip_norm) = (2, 0.5);
        }
        let place = tempfile::tempdir().unwrap();
        let [whole, parts] = ["whole", "parts"].map(|name| place.path().join(name));
        process(&whole, &config, usize::MAX).unwrap();
        let mut steps = 0;
        for &batches in &stops {
            match process(&parts, &config, batches) {
                Err(Error::Stopped { step, .. }) => {
                    // At the end of a group of batches.
                    prop_assert!(step >= steps + batches as u64);
                    prop_assert!(accumulates || step == steps + batches as u64);
                    steps = step;
                }
                Ok(_) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let finished = RunFolder::open(&parts).is_ok_and(|run| run.finished().unwrap().is_some());
        if !finished {
            process(&parts, &config, usize::MAX).unwrap();
        }
        let weights = |place: &Path| RunFolder::open(place).unwrap().read_model().unwrap();
        prop_assert_eq!(weights(&whole), weights(&parts));
        prop_assert_eq!(records(&whole), records(&parts));
    }
}

#[test]
fn other_data_or_another_model_is_refused_and_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path().join("run");
    let config = config(OptimizerName::Sgd, None);
    assert!(matches!(process(&place, &config, 4), Err(Error::Stopped { step: 4, .. })));
    let before = std::fs::read(place.join(CHECKPOINT)).unwrap();
    let mut folder = RunFolder::resume(&place).unwrap();
    let device = Device::new(Reference::new());
    let small = Sequential::new(&Init::new(&device, Rng::new(3)));
    let small = small.add(Flatten::new).unwrap().add(LinearConfig::new(4, 3)).unwrap();
    let whole = model(&device);
    let other = RunConfig { batch_size: 5, ..config.clone() };
    let cases: [(&dyn Classifier, _, _); 2] =
        [(&small, &config, "checkpoint.safetensors"), (&whole, &other, "another number of images")];
    for (model, config, said) in cases {
        let run = Run {
            model,
            device: &device,
            config,
            environment: Environment::default(),
            layers: Vec::new(),
            started: Instant::now(),
            stop: Stop::default(),
        };
        let error = run.resume(&data(), &mut folder, &mut ()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(std::fs::read(place.join(CHECKPOINT)).unwrap(), before);
}

#[test]
fn more_images_are_refused_where_the_batches_are_as_many() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path().join("run");
    let config = RunConfig { validation: 0.2, ..config(OptimizerName::Sgd, None) };
    assert!(matches!(process(&place, &config, 4), Err(Error::Stopped { step: 4, .. })));
    let device = Device::new(Reference::new());
    let model = model(&device);
    let resume = |train, test| {
        let data = RunData { train: images(train), test: images(test), normalise: normalise() };
        let mut folder = RunFolder::resume(&place).unwrap();
        let run = Run {
            model: &model,
            device: &device,
            config: &config,
            environment: Environment::default(),
            layers: Vec::new(),
            started: Instant::now(),
            stop: Stop::default(),
        };
        run.resume(&data, &mut folder, &mut ())
    };
    // Eight images are set apart for training of eleven, nine of twelve: three batches either way.
    for (train, test, said) in [
        (12, 11, "the run began with 8 training images, and its data has 9 now"),
        (11, 12, "the run began with 11 test images, and its data has 12 now"),
    ] {
        let error = resume(train, test).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("--out"), "{error}");
    }
    assert_eq!(resume(11, 11).unwrap().test_images, 11);
}

//! The loader's batches depend on seed, epoch and sample, and on nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferrotape_backend::Rng;
use ferrotape_data::{
    Compose, Dataset, Error, FloatImage, HostBatch, Image, InMemory, Loader, LoaderOptions,
    Normalise, RandomAffine, RandomTranslate, Result, Sample, Subset, Transform,
};
use proptest::prelude::*;

fn images(count: usize) -> InMemory {
    let pixels = (0..count * 2 * 4 * 5).map(|index| (index * 7 % 256) as u8).collect();
    let labels = (0..count).map(|index| index % 3).collect();
    InMemory::new(pixels, [2, 4, 5], labels, InMemory::numbered_classes(3)).unwrap()
}

fn augmentation() -> Arc<dyn Transform> {
    let affine =
        RandomAffine { degrees: 10.0, scale: (0.9, 1.1), translate: 1.0, ..Default::default() };
    Arc::new(Compose(vec![
        Arc::new(RandomTranslate { pixels: 1, fill: 0.0 }),
        Arc::new(affine),
        Arc::new(Normalise { mean: vec![0.5; 2], std: vec![0.25; 2] }),
    ]))
}

fn collect(dataset: &Arc<dyn Dataset>, options: LoaderOptions, epoch: u64) -> Vec<HostBatch> {
    let loader = Loader::new(Arc::clone(dataset), options).unwrap();
    let batches: Vec<HostBatch> = loader.epoch(epoch).collect::<Result<_>>().unwrap();
    assert_eq!(batches.len(), loader.batches());
    batches
}

fn indices(batches: &[HostBatch]) -> Vec<usize> {
    batches.iter().flat_map(|batch| batch.indices.iter().copied()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn batches_do_not_depend_on_workers_or_prefetch(
        count in 0_usize..40,
        batch_size in 1_usize..9,
        (workers, prefetch) in (1_usize..6, 0_usize..4),
        (shuffle, drop_last) in any::<(bool, bool)>(),
        (seed, epoch) in any::<(u64, u64)>(),
    ) {
        let dataset: Arc<dyn Dataset> = Arc::new(images(count));
        let here = LoaderOptions {
            batch_size, shuffle, seed, drop_last, transform: Some(augmentation()),
            ..Default::default()
        };
        let there = LoaderOptions { workers, prefetch, ..here.clone() };
        let batches = collect(&dataset, here, epoch);
        prop_assert_eq!(&batches, &collect(&dataset, there, epoch));

        let mut seen = indices(&batches);
        seen.sort_unstable();
        seen.dedup();
        let expected = if drop_last { count - count % batch_size } else { count };
        prop_assert_eq!(seen.len(), expected, "every sample once");
        for batch in &batches {
            let size = batch.indices.len();
            prop_assert_eq!(batch.shape, [size, 2, 4, 5]);
            prop_assert_eq!((batch.labels.len(), batch.images.len()), (size, size * 40));
        }
    }

    #[test]
    fn the_treatment_of_a_sample_does_not_depend_on_its_place(
        (seed, epoch) in any::<(u64, u64)>(),
        batch_size in 1_usize..9,
    ) {
        let dataset: Arc<dyn Dataset> = Arc::new(images(20));
        let in_order = LoaderOptions {
            batch_size: 1, seed, transform: Some(augmentation()), ..Default::default()
        };
        let shuffled = LoaderOptions { batch_size, shuffle: true, ..in_order.clone() };
        let singles = collect(&dataset, in_order, epoch);
        for batch in collect(&dataset, shuffled, epoch) {
            for (place, &index) in batch.indices.iter().enumerate() {
                prop_assert_eq!(&batch.images[place * 40..][..40], &singles[index].images[..]);
                prop_assert_eq!(batch.labels[place], (index % 3) as i64);
            }
        }
    }

    #[test]
    fn an_epoch_resumed_in_its_middle_continues_the_same(
        first in 0_usize..12,
        workers in 0_usize..4,
        epoch in any::<u64>(),
    ) {
        let dataset: Arc<dyn Dataset> = Arc::new(images(21));
        let options = LoaderOptions {
            batch_size: 2, shuffle: true, workers, transform: Some(augmentation()),
            ..Default::default()
        };
        let whole = collect(&dataset, options.clone(), epoch);
        let loader = Loader::new(dataset, options).unwrap();
        let rest: Vec<HostBatch> =
            loader.epoch_from(epoch, first).collect::<Result<_>>().unwrap();
        prop_assert_eq!(&rest[..], &whole[first.min(whole.len())..]);
    }
}

#[test]
fn epochs_and_seeds_have_orders_and_augmentations_of_their_own() {
    let dataset: Arc<dyn Dataset> = Arc::new(images(32));
    let options = |seed, shuffle| LoaderOptions {
        seed,
        shuffle,
        transform: Some(augmentation()),
        ..Default::default()
    };
    let base = collect(&dataset, options(0, true), 0);
    for (seed, epoch) in [(0, 1), (1, 0)] {
        assert_ne!(indices(&base), indices(&collect(&dataset, options(seed, true), epoch)));
        let in_order = collect(&dataset, options(0, false), 0);
        let other = collect(&dataset, options(seed, false), epoch);
        assert_eq!(indices(&in_order), indices(&other));
        assert_ne!(in_order[0].images, other[0].images);
    }
}

/// A dataset that does as it is told to, and counts what it is asked for.
struct Troubled {
    classes: Vec<String>,
    asked: AtomicUsize,
    trouble: fn(usize) -> Result<Sample<'static>>,
}

impl Troubled {
    fn new(trouble: fn(usize) -> Result<Sample<'static>>) -> Arc<Self> {
        Arc::new(Self {
            classes: InMemory::numbered_classes(1),
            asked: AtomicUsize::new(0),
            trouble,
        })
    }
}

impl Dataset for Troubled {
    fn len(&self) -> usize {
        1000
    }

    fn sample(&self, index: usize) -> Result<Sample<'_>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        (self.trouble)(index)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn image_shape(&self) -> [usize; 3] {
        [1, 1, 1]
    }
}

fn black(side: usize) -> Result<Sample<'static>> {
    Ok(Sample { image: Image::new(vec![0; side * side], [1, side, side])?, label: 0 })
}

#[test]
fn trouble_is_reported_at_its_batch_and_ends_the_epoch() {
    type Case = (fn(usize) -> Result<Sample<'static>>, &'static str);
    let cases: [Case; 4] = [
        (|index| if index == 23 { panic!("no {index}") } else { black(1) }, "batch 2: no 23"),
        (|index| black(if index == 23 { 2 } else { 1 }), "[1, 2, 2] is not [1, 1, 1]"),
        (
            |index| {
                let label = usize::from(index == 23);
                Ok(Sample { label, ..black(1)? })
            },
            "label 1 is out of range",
        ),
        (
            |index| match index {
                23 => Err(Error::Dataset("the tape is torn".into())),
                _ => black(1),
            },
            "sample 23 could not be prepared: the data set is not usable: the tape is torn",
        ),
    ];
    for (trouble, expected) in cases {
        for workers in [0, 1, 3] {
            let options = LoaderOptions { batch_size: 10, workers, ..Default::default() };
            let mut epoch = Loader::new(Troubled::new(trouble), options).unwrap().epoch(0);
            assert!(epoch.next().unwrap().is_ok());
            assert!(epoch.next().unwrap().is_ok());
            assert_eq!(epoch.remaining(), 98);
            let message = epoch.next().unwrap().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert_eq!(epoch.len(), 0);
            assert!(epoch.next().is_none());
        }
    }
}

#[test]
fn a_worker_that_ends_too_early_ends_the_epoch() {
    /// A panic's payload that panics in its turn once the first panic was caught.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("again");
        }
    }
    let dataset = Troubled::new(|index| {
        if index == 23 {
            std::panic::panic_any(Bomb);
        }
        black(1)
    });
    for workers in [1, 3] {
        let options = LoaderOptions { batch_size: 10, workers, ..Default::default() };
        let mut epoch =
            Loader::new(Arc::clone(&dataset) as Arc<dyn Dataset>, options).unwrap().epoch(0);
        assert!(epoch.by_ref().take(2).all(|batch| batch.is_ok()));
        let error = epoch.next().unwrap().unwrap_err();
        assert!(matches!(error, Error::WorkerLost { batch: 2 }), "{error}");
        assert!(epoch.next().is_none());
    }
}

#[test]
fn workers_prepare_no_more_than_they_may_and_end_when_the_epoch_is_dropped() {
    for workers in [0, 1, 3] {
        let dataset = Troubled::new(|_| black(1));
        let options = LoaderOptions { batch_size: 10, workers, prefetch: 1, ..Default::default() };
        let loader = Loader::new(Arc::clone(&dataset) as Arc<dyn Dataset>, options).unwrap();
        let mut epoch = loader.epoch(0);
        epoch.next().unwrap().unwrap();
        drop(epoch);
        // One batch was taken; every worker may have one in its queue and one in its hands.
        assert!(dataset.asked.load(Ordering::Relaxed) <= 10 * (1 + 2 * workers));
        drop(loader);
        assert_eq!(Arc::strong_count(&dataset), 1, "the threads have let go of the data");
    }
}

#[test]
fn an_endless_number_of_workers_is_cut_to_the_batches_there_are() {
    let dataset: Arc<dyn Dataset> = Arc::new(images(5));
    let options = LoaderOptions {
        batch_size: 2,
        workers: usize::MAX,
        prefetch: usize::MAX,
        ..Default::default()
    };
    assert_eq!(indices(&collect(&dataset, options, 0)), [0, 1, 2, 3, 4]);
}

#[test]
fn a_batch_size_beyond_the_data_gives_one_batch() {
    let dataset: Arc<dyn Dataset> = Arc::new(images(5));
    let options = LoaderOptions { batch_size: usize::MAX, ..Default::default() };
    assert_eq!(collect(&dataset, options, 0).len(), 1);
}

#[test]
fn a_subset_is_its_samples_in_its_order() {
    let all = Arc::new(images(9));
    let some = Subset::new(Arc::clone(&all), vec![4, 0, 4]).unwrap();
    assert_eq!(some.len(), 3);
    assert_eq!(some.sample(2).unwrap(), all.sample(4).unwrap());
    assert!(matches!(some.sample(3), Err(Error::Index { index: 3, len: 3 })));
    assert!(matches!(Subset::new(all, vec![9]), Err(Error::Index { index: 9, len: 9 })));
}

#[test]
fn a_transform_may_change_the_shape() {
    struct Corner;
    impl Transform for Corner {
        fn apply(&self, image: &mut FloatImage, _: Rng) -> Result<()> {
            let first = image.pixels()[0];
            image.replace(vec![first], [1, 1, 1])
        }
    }
    let dataset: Arc<dyn Dataset> = Arc::new(images(3));
    let options = LoaderOptions { transform: Some(Arc::new(Corner)), ..Default::default() };
    assert_eq!(collect(&dataset, options, 0)[0].shape, [3, 1, 1, 1]);
}

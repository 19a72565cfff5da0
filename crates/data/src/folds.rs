//! Cross-validation: a dataset cut into folds, each of which is set aside once.

use std::sync::Arc;

use ferrotape_backend::Rng;

use crate::dataset::{Dataset, Subset};
use crate::error::{Error, Result};

/// The parts of a dataset for fold `fold`, counted from 0, of `folds`: what is trained on, and what is set
/// aside. Each sample is set aside in one fold of all; of each class every fold sets about as many aside, as
/// scikit-learn's `StratifiedKFold` does. The seed draws which.
///
/// ```
/// use std::sync::Arc;
/// use ferrotape_data::{Dataset, InMemory, fold};
///
/// let labels = (0..20).map(|i| i % 2).collect();
/// let images = Arc::new(InMemory::new(vec![0; 20], [1, 1, 1], labels, InMemory::numbered_classes(2))?);
/// for number in 0..5 {
///     let [train, validation] = fold(images.clone(), 5, number, 42)?;
///     assert_eq!((train.len(), validation.len()), (16, 4));
/// }
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
///
/// # Errors
///
/// If there are fewer than two folds, or no such fold, or fewer samples than folds; if a label cannot be
/// read.
pub fn fold(
    dataset: Arc<dyn Dataset>,
    folds: usize,
    fold: usize,
    seed: u64,
) -> Result<[Subset<Arc<dyn Dataset>>; 2]> {
    let samples = dataset.len();
    if folds < 2 || fold >= folds || folds > samples {
        return Err(Error::Options(format!(
            "{samples} images cannot be cut into {folds} folds of which number {fold} is set aside; give at \
             least 2 folds, at most one an image, and a number from 0 to one less"
        )));
    }
    let mut of_class = vec![Vec::new(); dataset.classes().len()];
    for index in 0..samples {
        let label = dataset.label(index)?;
        let classes = of_class.len();
        let indices = of_class.get_mut(label).ok_or_else(|| {
            Error::Dataset(format!("sample {index} is of class {label}, and there are {classes}"))
        })?;
        indices.push(index);
    }
    // Classes follow each other in the deal, so that the folds of small classes differ by one in all.
    let (mut is_aside, mut dealt) = (vec![false; samples], 0);
    for (class, indices) in of_class.iter().enumerate() {
        let order = Rng::new(seed).path("folds").step(class as u64).permutation(indices.len());
        for position in order {
            is_aside[indices[position]] = dealt % folds == fold;
            dealt += 1;
        }
    }
    let part = |aside: bool| {
        let indices = (0..samples).filter(|&index| is_aside[index] == aside).collect();
        Subset::new(Arc::clone(&dataset), indices)
    };
    Ok([part(false)?, part(true)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InMemory;

    #[test]
    fn every_sample_is_set_aside_once_and_every_class_evenly() {
        let labels: Vec<usize> = (0..103).map(|i| if i < 17 { 0 } else { 1 + i % 2 }).collect();
        let classes = InMemory::numbered_classes(3);
        let images = InMemory::new((0..103).collect(), [1, 1, 1], labels, classes).unwrap();
        let images = Arc::new(images);
        let mut seen = vec![0; 103];
        for number in 0..4 {
            let [train, aside] = fold(images.clone(), 4, number, 7).unwrap();
            assert_eq!(train.len() + aside.len(), 103);
            let mut first = 0;
            for index in 0..aside.len() {
                let sample = aside.sample(index).unwrap();
                seen[usize::from(sample.image.pixels()[0])] += 1;
                first += usize::from(sample.label == 0);
            }
            assert!((4..=5).contains(&first), "{first} of the first class");
            assert!((25..=26).contains(&aside.len()));
        }
        assert!(seen.iter().all(|&count| count == 1));
    }

    #[test]
    fn folds_that_cannot_be_are_errors() {
        let classes = InMemory::numbered_classes(1);
        let images = Arc::new(InMemory::new(vec![0; 3], [1, 1, 1], vec![0; 3], classes).unwrap());
        for (folds, number) in [(1, 0), (0, 0), (2, 2), (4, 0)] {
            assert!(fold(images.clone(), folds, number, 1).is_err());
        }
    }
}

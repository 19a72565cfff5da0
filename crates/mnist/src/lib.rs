//! The MNIST digits, bundled, decoded and checked.
//!
//! 70,000 handwritten digits of 28 x 28 pixels, collected by Yann LeCun, Corinna Cortes and
//! Christopher J. C. Burges: their four files, byte for byte, recompressed with xz so that the crate
//! is small enough for a registry. The data are under the licence CC BY-SA 3.0; `data/README.md`
//! says where they come from and how they were packed.
//!
//! ```
//! use ferrotape_data::Dataset;
//!
//! let digits = ferrotape_mnist::test()?;
//! assert_eq!(digits.len(), 10_000);
//! assert_eq!(digits.image_shape(), [1, 28, 28]);
//! assert_eq!(digits.sample(0)?.label, 7);
//! # Ok::<(), ferrotape_data::Error>(())
//! ```

mod unpack;

use ferrotape_data::idx::Idx;
use ferrotape_data::{InMemory, Result, mnist_pair};

use unpack::{Packed, unpack};

/// The mean of all pixels of the training images, as numbers in [0, 1].
///
/// ```
/// use ferrotape_data::Normalise;
///
/// let normalise = Normalise { mean: vec![ferrotape_mnist::MEAN], std: vec![ferrotape_mnist::STD] };
/// ```
pub const MEAN: f32 = 0.130_660_48;

/// The standard deviation of all pixels of the training images, as numbers in [0, 1].
///
/// ```
/// // The brightest pixel, when images are normalised:
/// assert!((1.0 - ferrotape_mnist::MEAN) / ferrotape_mnist::STD > 2.8);
/// ```
pub const STD: f32 = 0.308_107_8;

// The training images are the longest file by far, and a stream of xz can only be decoded from its
// beginning. So they are cut into four streams, which can be decoded at once.
const TRAIN_IMAGES: Packed = Packed {
    name: "train-images-idx3-ubyte",
    parts: &[
        include_bytes!("../data/train-images-idx3-ubyte.0.xz"),
        include_bytes!("../data/train-images-idx3-ubyte.1.xz"),
        include_bytes!("../data/train-images-idx3-ubyte.2.xz"),
        include_bytes!("../data/train-images-idx3-ubyte.3.xz"),
    ],
    len: 47_040_016,
    crc32: 0xe9f4_d8b3,
};
const TRAIN_LABELS: Packed = Packed {
    name: "train-labels-idx1-ubyte",
    parts: &[include_bytes!("../data/train-labels-idx1-ubyte.xz")],
    len: 60_008,
    crc32: 0xe0cb_4ad2,
};
const TEST_IMAGES: Packed = Packed {
    name: "t10k-images-idx3-ubyte",
    parts: &[include_bytes!("../data/t10k-images-idx3-ubyte.xz")],
    len: 7_840_016,
    crc32: 0x9137_3bdf,
};
const TEST_LABELS: Packed = Packed {
    name: "t10k-labels-idx1-ubyte",
    parts: &[include_bytes!("../data/t10k-labels-idx1-ubyte.xz")],
    len: 10_008,
    crc32: 0x4ab9_eff9,
};

/// The 60,000 digits to train on, of the shape `[1, 28, 28]`, in the published order.
///
/// # Errors
///
/// If the bundled data are damaged, or there is no room for them in memory.
///
/// ```
/// use ferrotape_data::Dataset;
///
/// assert_eq!(ferrotape_mnist::train()?.len(), 60_000);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
pub fn train() -> Result<InMemory> {
    let [images, labels] = unpack([&TRAIN_IMAGES, &TRAIN_LABELS])?;
    join(images, labels)
}

/// The 10,000 digits to test on, of the shape `[1, 28, 28]`, in the published order.
///
/// # Errors
///
/// If the bundled data are damaged, or there is no room for them in memory.
///
/// ```
/// use ferrotape_data::Dataset;
///
/// assert_eq!(ferrotape_mnist::test()?.len(), 10_000);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
pub fn test() -> Result<InMemory> {
    let [images, labels] = unpack([&TEST_IMAGES, &TEST_LABELS])?;
    join(images, labels)
}

/// Both [`train`] and [`test`](fn@test), decoded at the same time, which is faster than one after the other.
///
/// # Errors
///
/// If the bundled data are damaged, or there is no room for them in memory.
///
/// ```
/// let (train, test) = ferrotape_mnist::train_and_test()?;
/// assert_eq!(train.labels()[0], 5);
/// assert_eq!(test.labels()[0], 7);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
pub fn train_and_test() -> Result<(InMemory, InMemory)> {
    let files = [&TRAIN_IMAGES, &TEST_IMAGES, &TRAIN_LABELS, &TEST_LABELS];
    let [train_images, test_images, train_labels, test_labels] = unpack(files)?;
    Ok((join(train_images, train_labels)?, join(test_images, test_labels)?))
}

fn join(images: (&'static str, Vec<u8>), labels: (&'static str, Vec<u8>)) -> Result<InMemory> {
    mnist_pair(Idx::from_vec(images.0, images.1)?, Idx::from_vec(labels.0, labels.1)?)
}

// The example in the README is run with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::*;
    use ferrotape_data::{Dataset, Normalise};
    use sha2::{Digest, Sha256};

    #[test]
    fn the_files_are_the_published_ones_byte_for_byte() {
        let files = [&TRAIN_IMAGES, &TRAIN_LABELS, &TEST_IMAGES, &TEST_LABELS];
        let published = [
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ];
        for ((name, bytes), published) in unpack(files).unwrap().into_iter().zip(published) {
            let digest: String =
                Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, published, "{name}");
        }
    }

    #[test]
    fn both_at_once_are_the_same_as_one_after_the_other() {
        let (train, test) = train_and_test().unwrap();
        assert!(train == super::train().unwrap());
        assert!(test == super::test().unwrap());
        assert_eq!(train.image_shape(), [1, 28, 28]);
        assert_eq!(test.classes().len(), 10);
    }

    #[test]
    fn the_stated_mean_and_deviation_are_those_of_the_training_images() {
        let train = train().unwrap();
        let mut counts = [0_u64; 256];
        train.pixels().iter().for_each(|&pixel| counts[usize::from(pixel)] += 1);
        let expectation = |function: &dyn Fn(f64) -> f64| {
            let terms = counts.iter().enumerate();
            terms.map(|(byte, &count)| count as f64 * function(byte as f64 / 255.0)).sum::<f64>()
                / train.pixels().len() as f64
        };
        let mean = expectation(&|pixel| pixel);
        let deviation = expectation(&|pixel| (pixel - mean).powi(2)).sqrt();
        assert_eq!((mean as f32, deviation as f32), (MEAN, STD));
        let known = Normalise { mean: vec![MEAN], std: vec![STD] };
        assert_eq!(
            (&Normalise::of(&train, usize::MAX).unwrap(), &Normalise::mnist()),
            (&known, &known)
        );
    }
}

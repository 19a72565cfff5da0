//! MNIST and its relatives from the four files in which they are published.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, IdxProblem, Result};
use crate::idx::{Element, Idx};
use crate::in_memory::InMemory;

/// MNIST, Fashion-MNIST, KMNIST and QMNIST all have this many classes.
const CLASSES: usize = 10;

/// Which part of a published dataset: the one to learn from or the one to be examined on.
///
/// ```
/// use ferrotape_data::Split;
///
/// assert_ne!(Split::Train, Split::Test);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// The samples to train on: 60,000 in MNIST, in files called `train-…`.
    Train,
    /// The samples to test on: 10,000 in MNIST, in files called `t10k-…`.
    Test,
}

impl Split {
    fn prefix(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "t10k",
        }
    }
}

/// Reads one part of MNIST, or of a dataset published in the same form, from a folder.
///
/// The files are `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, or `t10k-…` for the test
/// part; a dot may stand for the hyphen before `idx`, and `.gz` may follow. Where several are there,
/// the first in the order named here is taken. The images have the shape `[1, H, W]`.
///
/// # Errors
///
/// If a file is missing, cannot be read or is damaged, or if the two do not fit together.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// use ferrotape_data::{Dataset, Split, mnist_folder};
///
/// // A single image of 2 x 2 pixels, and its label.
/// let images = [&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2][..], &[0, 9, 9, 0]].concat();
/// std::fs::write(folder.join("train-images-idx3-ubyte"), images)?;
/// std::fs::write(folder.join("train-labels-idx1-ubyte"), [0, 0, 8, 1, 0, 0, 0, 1, 4])?;
///
/// let digits = mnist_folder(folder, Split::Train)?;
/// assert_eq!(digits.image_shape(), [1, 2, 2]);
/// assert_eq!(digits.sample(0)?.label, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn mnist_folder(folder: impl AsRef<Path>, split: Split) -> Result<InMemory> {
    let folder = folder.as_ref();
    if let Err(source) = fs::read_dir(folder) {
        return Err(Error::Folder { folder: folder.to_owned(), source });
    }
    // Both are looked for before either is read: a missing file is then reported at once.
    let images = find(folder, split, "images", 3)?;
    let labels = find(folder, split, "labels", 1)?;
    mnist_pair(Idx::read(images)?, Idx::read(labels)?)
}

fn find(folder: &Path, split: Split, kind: &str, rank: u32) -> Result<PathBuf> {
    let prefix = split.prefix();
    let mut tried = Vec::new();
    for ending in ["", ".gz"] {
        for separator in ['-', '.'] {
            let name = format!("{prefix}-{kind}{separator}idx{rank}-ubyte{ending}");
            let path = folder.join(&name);
            if path.exists() {
                return Ok(path);
            }
            tried.push(name);
        }
    }
    Err(Error::MissingFile { folder: folder.to_owned(), tried })
}

/// Joins images `[N, H, W]` and labels `[N]` below 10 into a dataset.
///
/// # Errors
///
/// If an array is not one of unsigned bytes or has the wrong dimensions, if there are no images, if
/// there are more of the one than of the other, or if a label is 10 or more.
///
/// ```
/// use ferrotape_data::idx::{Element, Idx};
/// use ferrotape_data::{Dataset, mnist_pair};
///
/// let images =
///     Idx { file: "images".into(), element: Element::U8, dims: vec![2, 1, 1], data: vec![0, 255] };
/// let labels = Idx { file: "labels".into(), element: Element::U8, dims: vec![2], data: vec![3, 8] };
/// assert_eq!(mnist_pair(images, labels)?.len(), 2);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
pub fn mnist_pair(images: Idx, labels: Idx) -> Result<InMemory> {
    let [count, rows, columns] = shape(&images, "images", "three (count, rows, columns)")?;
    let [_] = shape(&labels, "labels", "one (count)")?;
    if count != labels.data.len() {
        return Err(Error::CountMismatch {
            images: images.file,
            image_count: count,
            labels: labels.file,
            label_count: labels.data.len(),
        });
    }
    if let Some(position) = labels.data.iter().position(|&label| usize::from(label) >= CLASSES) {
        return Err(Error::LabelInFile {
            file: labels.file,
            position,
            label: labels.data[position].into(),
            classes: CLASSES,
        });
    }
    let classes = InMemory::numbered_classes(CLASSES);
    let labels = labels.data.into_iter().map(usize::from).collect();
    InMemory::new(images.data, [1, rows, columns], labels, classes)
}

/// The sizes of an array of unsigned bytes that is not empty.
fn shape<const RANK: usize>(
    idx: &Idx,
    purpose: &'static str,
    wanted: &'static str,
) -> Result<[usize; RANK]> {
    let problem = match <[usize; RANK]>::try_from(idx.dims.as_slice()) {
        Err(_) => IdxProblem::WrongRank { purpose, dims: idx.dims.clone(), wanted },
        Ok(_) if idx.element != Element::U8 => {
            IdxProblem::WrongType { purpose, found: idx.element.name() }
        }
        Ok(sizes) if sizes.contains(&0) => IdxProblem::Empty { dims: idx.dims.clone() },
        Ok(sizes) => return Ok(sizes),
    };
    Err(Error::Idx { file: idx.file.clone(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset;

    fn idx(file: &str, dims: &[usize], data: &[u8]) -> Idx {
        Idx { file: file.into(), element: Element::U8, dims: dims.into(), data: data.into() }
    }

    fn message(images: Idx, labels: Idx) -> String {
        mnist_pair(images, labels).unwrap_err().to_string()
    }

    #[test]
    fn every_published_form_of_the_names_is_found() {
        let images = idx("", &[1, 2, 1], &[10, 20]).to_bytes();
        let labels = idx("", &[1], &[7]).to_bytes();
        for (image_name, label_name) in [
            ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
            ("t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte.gz"),
            ("t10k-images-idx3-ubyte.gz", "t10k-labels.idx1-ubyte"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(image_name), &images).unwrap();
            fs::write(folder.path().join(label_name), &labels).unwrap();
            let digits = mnist_folder(folder.path(), Split::Test).unwrap();
            let sample = digits.sample(0).unwrap();
            assert_eq!((sample.image.pixels(), sample.label), (&[10, 20][..], 7));
            assert_eq!(digits.image_shape(), [1, 2, 1]);
            let missing = mnist_folder(folder.path(), Split::Train).unwrap_err().to_string();
            assert!(missing.contains("train-images-idx3-ubyte or"), "{missing}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_from_a_file_that_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let error = mnist_folder(folder.path().join("none"), Split::Train).unwrap_err();
        assert!(matches!(error, Error::Folder { .. }));
        fs::write(folder.path().join("train-images-idx3-ubyte"), [0]).unwrap();
        let error = mnist_folder(folder.path(), Split::Train).unwrap_err().to_string();
        assert!(error.contains("train-labels-idx1-ubyte"), "{error}");
    }

    #[test]
    fn exchanged_files_are_suspected() {
        let images = || idx("im", &[1, 1, 1], &[0]);
        let labels = || idx("la", &[1], &[0]);
        assert!(message(labels(), images()).contains("not exchanged"));
        assert!(message(images(), images()).starts_with("im cannot be used"));
    }

    #[test]
    fn each_mistake_has_a_sentence_that_names_the_file() {
        let images = || idx("im", &[2, 1, 1], &[0, 0]);
        let three = message(images(), idx("la", &[3], &[0, 0, 0]));
        assert!(three.contains("im holds 2 images and la holds 3 labels"), "{three}");
        let ten = message(images(), idx("la", &[2], &[0, 10]));
        assert!(ten.contains("la: label 10 of item 1 is out of range"), "{ten}");
        let none = message(idx("im", &[0, 28, 28], &[]), idx("la", &[1], &[0]));
        assert!(none.contains("im cannot be used") && none.contains("[0, 28, 28]"), "{none}");
        let wide = Idx { element: Element::I16, ..idx("la", &[2], &[0; 4]) };
        assert!(message(images(), wide).contains("i16"));
    }

    #[test]
    fn a_hand_made_array_that_contradicts_itself_is_an_error_and_no_panic() {
        assert!(mnist_pair(idx("im", &[2, 1, 1], &[0]), idx("la", &[2], &[0, 0])).is_err());
    }
}

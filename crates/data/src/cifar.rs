//! CIFAR-10 and CIFAR-100 from the binary files in which they are published.

use std::fs;
use std::path::Path;

use crate::dataset::volume;
use crate::error::{Error, Result};
use crate::in_memory::InMemory;
use crate::mnist::Split;

/// An image is its red, green and blue plane of 32 x 32 bytes each.
const SHAPE: [usize; 3] = [3, 32, 32];

/// The classes of CIFAR-10, from the `batches.meta.txt` that is published with it.
const CLASSES_10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Reads one part of CIFAR-10 in its binary version: `data_batch_1.bin` to `data_batch_5.bin`, as
/// many of them as are there, or `test_batch.bin`.
///
/// A record is a label, 0 to 9, and 3 x 32 x 32 bytes. Source: the description on Krizhevsky's page
/// of the data set.
///
/// # Errors
///
/// If no such file is there, one cannot be read, its size is not a whole number of records, or it
/// has a label above 9.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// use ferrotape_data::{Dataset, Split, cifar10_folder};
///
/// std::fs::write(folder.join("test_batch.bin"), [[3].repeat(1), [0].repeat(3072)].concat())?;
/// let images = cifar10_folder(folder, Split::Test)?;
/// assert_eq!(images.classes()[images.sample(0)?.label], "cat");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn cifar10_folder(folder: impl AsRef<Path>, split: Split) -> Result<InMemory> {
    let names: Vec<String> = match split {
        Split::Train => (1..=5).map(|number| format!("data_batch_{number}.bin")).collect(),
        Split::Test => vec!["test_batch.bin".into()],
    };
    let classes = CLASSES_10.map(String::from).to_vec();
    read(folder.as_ref(), names, 0, classes)
}

/// Reads one part of CIFAR-100 in its binary version, with its 100 fine labels: `train.bin` or
/// `test.bin`.
///
/// A record is a coarse label, a fine label, 0 to 99, and 3 x 32 x 32 bytes. The names of the classes
/// are the lines of `fine_label_names.txt`, or their numbers if that file is not there.
///
/// # Errors
///
/// As for [`cifar10_folder`], and if there are not 100 names.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// use ferrotape_data::{Dataset, Split, cifar100_folder};
///
/// std::fs::write(folder.join("train.bin"), [vec![11, 98], vec![0; 3072]].concat())?;
/// assert_eq!(cifar100_folder(folder, Split::Train)?.sample(0)?.label, 98);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn cifar100_folder(folder: impl AsRef<Path>, split: Split) -> Result<InMemory> {
    let folder = folder.as_ref();
    let name = match split {
        Split::Train => "train.bin",
        Split::Test => "test.bin",
    };
    let names = folder.join("fine_label_names.txt");
    let classes = match fs::read_to_string(&names) {
        Ok(text) => {
            let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
            // Counted first: a name takes far more memory than its line.
            let count = lines().count();
            if count != 100 {
                let problem =
                    format!("it names {count} classes and CIFAR-100 has 100; mend or remove it");
                return Err(Error::unusable(names, problem));
            }
            lines().map(String::from).collect()
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => InMemory::numbered_classes(100),
        Err(source) => return Err(Error::Read { file: names, source }),
    };
    read(folder, vec![name.into()], 1, classes)
}

/// Reads the files of these names; in each record `skipped` labels stand before the one that is used.
fn read(
    folder: &Path,
    names: Vec<String>,
    skipped: usize,
    classes: Vec<String>,
) -> Result<InMemory> {
    let image = volume(SHAPE).expect("3 x 32 x 32 is 3,072");
    let size = skipped + 1 + image;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for file in names.iter().map(|name| folder.join(name)).filter(|file| file.is_file()) {
        let bytes = fs::read(&file).map_err(|source| Error::Read { file: file.clone(), source })?;
        if bytes.is_empty() || !bytes.len().is_multiple_of(size) {
            let problem = format!(
                "its {} bytes are no whole number of records of {size}; it was cut off or is of \
                 another form, so download or copy it again",
                bytes.len()
            );
            return Err(Error::unusable(file, problem));
        }
        pixels.reserve_exact(bytes.len() / size * image);
        for (position, record) in bytes.chunks_exact(size).enumerate() {
            let label = usize::from(record[skipped]);
            if label >= classes.len() {
                let classes = classes.len();
                return Err(Error::LabelInFile { file, position, label, classes });
            }
            labels.push(label);
            pixels.extend_from_slice(&record[skipped + 1..]);
        }
    }
    if labels.is_empty() {
        return Err(Error::MissingFile { folder: folder.to_owned(), tried: names });
    }
    InMemory::new(pixels, SHAPE, labels, classes)
}

//! What can be wrong with data from outside, each as a sentence that says what to do about it.

use std::io;
use std::path::PathBuf;

/// `Result` with this crate's [`Error`].
///
/// ```
/// fn half(n: usize) -> ferrotape_data::Result<usize> {
///     Ok(n / 2)
/// }
/// assert_eq!(half(4)?, 2);
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
pub type Result<T> = std::result::Result<T, Error>;

/// An error of a dataset, a file, a transform or a loader.
///
/// ```
/// let error = ferrotape_data::idx::Idx::read("no/such/file").unwrap_err();
/// assert!(error.to_string().starts_with("cannot read no/such/file"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened or read.
    #[error("cannot read {}: {source}; {}", file.display(), remedy(source))]
    Read {
        /// The file in question.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The folder that should hold a dataset is not there.
    #[error(
        "there is no folder {}: {source}; name one with a folder of pictures for every class, or \
         with the MNIST files train-images-idx3-ubyte, train-labels-idx1-ubyte, \
         t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, plain or with .gz",
        folder.display()
    )]
    Folder {
        /// The folder in question.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A folder lacks one of the files that a dataset is made of.
    #[error(
        "the folder {} has no file named {}; put the file there or name another folder",
        folder.display(),
        tried.join(" or ")
    )]
    MissingFile {
        /// The folder in question.
        folder: PathBuf,
        /// Every name under which the file was looked for.
        tried: Vec<String>,
    },
    /// A file is not a usable IDX file.
    #[error("{} cannot be used: {problem}", file.display())]
    Idx {
        /// The file in question.
        file: PathBuf,
        /// What is wrong with it.
        problem: IdxProblem,
    },
    /// An image file and a label file do not belong together.
    #[error(
        "{} holds {image_count} images and {} holds {label_count} labels; the two files must come \
         from the same set",
        images.display(),
        labels.display()
    )]
    CountMismatch {
        /// The file of images.
        images: PathBuf,
        /// How many images it holds.
        image_count: usize,
        /// The file of labels.
        labels: PathBuf,
        /// How many labels it holds.
        label_count: usize,
    },
    /// A file or folder is not what it should be.
    #[error("{}: {problem}", path.display())]
    Unusable {
        /// The file or folder in question.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// A file of labels names a class that does not exist.
    #[error(
        "{}: label {label} of item {position} is out of range, as there are {classes} classes, \
         numbered from 0; the file is damaged or belongs to another data set",
        file.display()
    )]
    LabelInFile {
        /// The file of labels.
        file: PathBuf,
        /// The item, counted from 0.
        position: usize,
        /// Its label.
        label: usize,
        /// The number of classes.
        classes: usize,
    },
    /// A sample was asked for that does not exist.
    #[error("there is no sample {index} in a data set of {len}, numbered from 0")]
    Index {
        /// The sample that was asked for.
        index: usize,
        /// The number of samples.
        len: usize,
    },
    /// The parts of a dataset, as its author gave them, contradict one another.
    #[error("the data set is not usable: {0}")]
    Dataset(String),
    /// A transform does not fit its image, or its settings make no sense.
    #[error("the transform {transform} cannot be applied: {problem}")]
    Transform {
        /// The transform's name.
        transform: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The settings of a loader make no sense.
    #[error("the loader's settings are not usable: {0}")]
    Options(String),
    /// One sample could not be prepared.
    #[error("sample {index} could not be prepared: {source}")]
    Sample {
        /// The sample's index in the dataset.
        index: usize,
        /// Why it could not be.
        source: Box<Error>,
    },
    /// The code of a dataset or of a transform panicked.
    #[error(
        "a panic stopped the preparation of batch {batch}: {message}; this is a mistake in the \
         code of the data set or of a transform"
    )]
    Panic {
        /// The batch's number in its epoch.
        batch: usize,
        /// The message of the panic.
        message: String,
    },
    /// There is no memory for a batch.
    #[error(
        "there is no room in memory for a batch of {images} images of the shape [C, H, W] = {shape:?}; \
         make the batches (--batch-size) or the images smaller"
    )]
    OutOfMemory {
        /// How many images the batch was to have.
        images: usize,
        /// The shape of each.
        shape: [usize; 3],
    },
    /// A worker thread could not be started.
    #[error("cannot start a worker thread of the loader: {source}; ask for fewer workers")]
    Spawn {
        /// What the operating system said.
        source: io::Error,
    },
    /// A worker thread ended without having delivered its batches.
    #[error(
        "a worker thread of the loader ended before batch {batch} was ready; look for its last words \
         above, and ask for fewer workers if they speak of memory"
    )]
    WorkerLost {
        /// The batch that was waited for.
        batch: usize,
    },
}

impl Error {
    /// Says what is wrong with a file or folder.
    pub(crate) fn unusable(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::Unusable { path: path.into(), problem: problem.into() }
    }

    /// Whether the machine had too little of something, which says nothing about a file.
    pub(crate) fn is_shortage(&self) -> bool {
        match self {
            Self::Read { source, .. } => is_lack_of_memory(source) || is_lack_of_files(source),
            _ => false,
        }
    }
}

fn is_lack_of_memory(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
}

fn is_lack_of_files(error: &io::Error) -> bool {
    // ENFILE and EMFILE, which have no kind of their own.
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

/// What to do where a file could not be read.
fn remedy(error: &io::Error) -> &'static str {
    if is_lack_of_memory(error) {
        "give the program more memory"
    } else if is_lack_of_files(error) {
        "allow the program more of them (ulimit -n), or close other programs"
    } else {
        "check that the file exists and may be read"
    }
}

/// What is wrong with one IDX file.
///
/// ```
/// use ferrotape_data::{Error, IdxProblem, idx::Idx};
///
/// let error = Idx::from_bytes("digits", b"\x89PNG and so on").unwrap_err();
/// assert!(matches!(error, Error::Idx { problem: IdxProblem::Magic { .. }, .. }));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdxProblem {
    /// The file does not begin as an IDX file does.
    #[error(
        "it is no IDX file, as it begins with the bytes {found:02x?} and not with two zeros; give \
         the file as it is published, plain or compressed by gzip"
    )]
    Magic {
        /// The file's first four bytes.
        found: [u8; 4],
    },
    /// The header names an element type that the format does not have.
    #[error(
        "its header names the element type 0x{code:02x}, which the IDX format does not have; the \
         file is damaged or of another format"
    )]
    ElementType {
        /// The code in the header.
        code: u8,
    },
    /// The file ends before its header does.
    #[error(
        "it ends after {found} bytes, within its header; it was cut off, so download or copy it \
         again"
    )]
    HeaderTruncated {
        /// The bytes that there are.
        found: u64,
    },
    /// The sizes in the header cannot be those of any file.
    #[error(
        "its header promises {dims:?} elements, more than any file can hold; the file is damaged"
    )]
    TooLarge {
        /// The sizes in the header.
        dims: Vec<usize>,
    },
    /// The sizes in the header cannot be those of this compressed file.
    #[error(
        "its header promises {expected} bytes, more than {stored} bytes of gzip can hold; it was \
         cut off or damaged, so download or copy it again"
    )]
    Implausible {
        /// The bytes of data that the header promises.
        expected: u64,
        /// The size of the compressed file.
        stored: u64,
    },
    /// There is less data than the header promises.
    #[error(
        "its header promises {expected} bytes of data and {found} follow; it was cut off, so \
         download or copy it again"
    )]
    Truncated {
        /// The bytes of data that the header promises.
        expected: u64,
        /// The bytes that follow the header.
        found: u64,
    },
    /// There is more data than the header promises.
    #[error(
        "its header promises {expected} bytes of data and more follow; the file is damaged or \
         something was appended to it"
    )]
    Trailing {
        /// The bytes of data that the header promises.
        expected: u64,
    },
    /// The gzip compression around the file is damaged.
    #[error("its gzip compression is damaged ({source}); download or copy it again")]
    Gzip {
        /// What the decompressor said.
        source: io::Error,
    },
    /// The file is not a regular file.
    #[error("it is no regular file; name a file that can be read from its beginning to its end")]
    NotAFile,
    /// The elements are of another type than this use of the file needs.
    #[error(
        "its elements are of the type {found} where {purpose} are unsigned bytes; check that the \
         right file has this name"
    )]
    WrongType {
        /// What the file was to be used for.
        purpose: &'static str,
        /// The type of its elements.
        found: &'static str,
    },
    /// The array has another number of dimensions than this use of the file needs.
    #[error(
        "it holds an array of the shape {dims:?} where {purpose} have {wanted}; check that images \
         and labels are not exchanged"
    )]
    WrongRank {
        /// What the file was to be used for.
        purpose: &'static str,
        /// The shape in the header.
        dims: Vec<usize>,
        /// The dimensions that are needed.
        wanted: &'static str,
    },
    /// The array has no elements.
    #[error("it holds an array of the shape {dims:?}, so there is nothing in it to learn from")]
    Empty {
        /// The shape in the header.
        dims: Vec<usize>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_not_told_as_a_fault_of_the_file() {
        let file = PathBuf::from("1.png");
        let read = |source| Error::Read { file: file.clone(), source };
        let short = read(io::ErrorKind::OutOfMemory.into());
        assert_eq!(
            short.to_string(),
            "cannot read 1.png: out of memory; give the program more memory"
        );
        assert!(short.is_shortage());
        let missing = read(io::ErrorKind::NotFound.into());
        assert!(missing.to_string().ends_with("; check that the file exists and may be read"));
        assert!(!missing.is_shortage());
    }
}

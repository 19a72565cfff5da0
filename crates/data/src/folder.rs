//! A folder of data whose form is told from the files in it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use crate::cifar::{cifar10_folder, cifar100_folder};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::image_folder::{Entry, ImageFolder, entries, is_picture};
use crate::mnist::{Split, mnist_folder};

/// The share of a folder that has no test part which is kept for the test.
const TEST_SHARE: f64 = 0.1;

/// The names of the folder to test on, the first that is there.
const TEST_FOLDERS: [&str; 4] = ["test", "val", "valid", "validation"];

/// The forms in which a folder can hold images and their classes.
///
/// ```
/// use ferrotape_data::Form;
///
/// assert_eq!("cifar10".parse::<Form>()?, Form::Cifar10);
/// assert_eq!(Form::Folder.to_string(), "folder");
/// assert!("tfrecord".parse::<Form>().unwrap_err().to_string().contains("idx, folder, cifar10"));
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// The four IDX files of MNIST and its relatives; see [`mnist_folder`].
    Idx,
    /// A folder of pictures for every class; see [`ImageFolder`].
    Folder,
    /// The binary files of CIFAR-10; see [`cifar10_folder`].
    Cifar10,
    /// The binary files of CIFAR-100; see [`cifar100_folder`].
    Cifar100,
}

impl Form {
    /// Every form.
    ///
    /// ```
    /// assert_eq!(ferrotape_data::Form::ALL.len(), 4);
    /// ```
    pub const ALL: [Form; 4] = [Form::Idx, Form::Folder, Form::Cifar10, Form::Cifar100];

    /// What the command line calls it.
    ///
    /// ```
    /// assert_eq!(ferrotape_data::Form::Idx.name(), "idx");
    /// ```
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Form::Idx => "idx",
            Form::Folder => "folder",
            Form::Cifar10 => "cifar10",
            Form::Cifar100 => "cifar100",
        }
    }

    /// A file of this form, for messages.
    fn sign(self) -> &'static str {
        match self {
            Form::Idx => "IDX files such as train-images-idx3-ubyte",
            Form::Folder => "class folders of pictures",
            Form::Cifar10 => "CIFAR-10's data_batch_1.bin or test_batch.bin",
            Form::Cifar100 => "CIFAR-100's train.bin or test.bin",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Form {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Form::name).join(", ");
            Error::Options(format!("there is no form '{name}' of data; use {names}"))
        })
    }
}

/// Tells the form of a folder from the names in it.
///
/// # Errors
///
/// If there is no such folder, or what is in it is of no form, or of several.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// use ferrotape_data::{Form, form_of};
///
/// assert!(form_of(folder).unwrap_err().to_string().contains("it is empty"));
/// std::fs::write(folder.join("test_batch.bin"), "")?;
/// assert_eq!(form_of(folder)?, Form::Cifar10);
/// std::fs::write(folder.join("train-images-idx3-ubyte.gz"), "")?;
/// assert!(form_of(folder).unwrap_err().to_string().contains("--format idx or --format cifar10"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn form_of(folder: impl AsRef<Path>) -> Result<Form> {
    let folder = folder.as_ref();
    let entries = entries_of(folder)?;
    let has_file = |is: fn(&str) -> bool| entries.iter().any(|e| !e.is_folder && is(&e.name));
    let folders: Vec<&Entry> = entries.iter().filter(|entry| entry.is_folder).collect();
    let mut found = Vec::new();
    if has_file(is_idx) {
        found.push(Form::Idx);
    }
    // A class folder is one with pictures; where there are other files as well, a folder without
    // any may be about something else.
    let mut has_pictures = entries.iter().all(|entry| entry.is_folder) && !folders.is_empty();
    for entry in &folders {
        has_pictures = has_pictures || holds_pictures(&entry.path)?;
    }
    if has_pictures {
        found.push(Form::Folder);
    }
    if has_file(|name| name == "test_batch.bin" || name.starts_with("data_batch_")) {
        found.push(Form::Cifar10);
    }
    if has_file(|name| name == "train.bin" || name == "test.bin") {
        found.push(Form::Cifar100);
    }
    match found.as_slice() {
        [form] => Ok(*form),
        [] => {
            let loose = entries.iter().filter(|entry| is_picture(&entry.name)).count();
            let names: Vec<&str> = entries.iter().take(4).map(|e| e.name.as_str()).collect();
            let holds = match (loose, names.as_slice()) {
                (_, []) => "it is empty".to_owned(),
                (0, names) => format!("it holds {}", names.join(", ")),
                _ => format!("it holds {loose} pictures that lie in no class folder"),
            };
            let wanted = Form::ALL.map(Form::sign).join(", ");
            Err(Error::unusable(
                folder,
                format!("{holds}, which is no form of data; there should be one of: {wanted}"),
            ))
        }
        several => {
            let signs: Vec<&str> = several.iter().map(|form| form.sign()).collect();
            let flags: Vec<String> =
                several.iter().map(|form| format!("--format {form}")).collect();
            Err(Error::unusable(
                folder,
                format!(
                    "it holds {}; say which are meant with {}",
                    signs.join(" and "),
                    flags.join(" or ")
                ),
            ))
        }
    }
}

/// The two parts of a data set.
///
/// ```
/// # use std::sync::Arc;
/// use ferrotape_data::{Dataset, Parts, Synthetic};
///
/// let train = Synthetic::new([1, 8, 8], 2, 100, 42)?;
/// let test = Arc::new(train.others(20));
/// let parts = Parts { train: Arc::new(train), test, notes: Vec::new() };
/// assert_eq!(parts.train.classes(), parts.test.classes());
/// # Ok::<(), ferrotape_data::Error>(())
/// ```
#[derive(Clone)]
pub struct Parts {
    /// The images to train on.
    pub train: Arc<dyn Dataset>,
    /// The images to test on, of the same classes.
    pub test: Arc<dyn Dataset>,
    /// What the reader of a folder should know, a sentence each: files that were passed over.
    pub notes: Vec<String>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("train", &self.train.len())
            .field("test", &self.test.len())
            .field("notes", &self.notes)
            .finish()
    }
}

/// How a folder is opened.
///
/// ```
/// use ferrotape_data::FolderOptions;
///
/// let options = FolderOptions { shape: [3, 64, 64], ..FolderOptions::default() };
/// assert!(!options.skip_broken);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct FolderOptions {
    /// The shape `[C, H, W]` that pictures are given. Default `[3, 224, 224]`.
    pub shape: [usize; 3],
    /// The seed by which a test part is drawn, where a folder of pictures has none. Default 42.
    pub seed: u64,
    /// Whether each picture is read once, and those that cannot be are left out and noted. Otherwise, the
    /// default, one that is broken is an error when it is asked for.
    pub skip_broken: bool,
    /// Whether the pictures of a folder are made to digits, as by [`ImageFolder::as_digits`]. Default no.
    pub digits: bool,
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self { shape: [3, 224, 224], seed: 42, skip_broken: false, digits: false }
    }
}

/// Opens a folder of data of a known form.
///
/// Pictures are given the shape `[C, H, W]`; the images of the other forms keep theirs. A folder of
/// class folders is either one with `train` and one of `test`, `val`, `valid` and `validation`, the
/// first of these, with the class folders in both; or it holds the class folders itself: then a tenth
/// of each class, at least one picture, is drawn by the seed and kept for the test.
///
/// # Errors
///
/// If there is no such folder, or what is in it is not of the form: see [`mnist_folder`],
/// [`ImageFolder`], [`cifar10_folder`] and [`cifar100_folder`]. If the classes of the two parts
/// differ.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// use ferrotape_data::{Dataset, FolderOptions, form_of, open_folder};
///
/// for class in ["night", "day"] {
///     std::fs::create_dir(folder.join(class))?;
///     for number in 0..10 {
///         image::GrayImage::new(9, 9).save(folder.join(class).join(format!("{number}.png")))?;
///     }
/// }
/// let options = FolderOptions { shape: [1, 8, 8], ..FolderOptions::default() };
/// let parts = open_folder(folder, form_of(folder)?, options)?;
/// assert_eq!((parts.train.len(), parts.test.len()), (18, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open_folder(folder: impl AsRef<Path>, form: Form, options: FolderOptions) -> Result<Parts> {
    let folder = folder.as_ref();
    // A folder that is not there has a better sentence than the first file that it lacks.
    let entries = entries_of(folder)?;
    let in_memory = |read: fn(&Path, Split) -> Result<crate::InMemory>| {
        let (train, test) = (read(folder, Split::Train)?, read(folder, Split::Test)?);
        Ok(Parts { train: Arc::new(train), test: Arc::new(test), notes: Vec::new() })
    };
    match form {
        Form::Idx => in_memory(|folder, split| mnist_folder(folder, split)),
        Form::Cifar10 => in_memory(|folder, split| cifar10_folder(folder, split)),
        Form::Cifar100 => in_memory(|folder, split| cifar100_folder(folder, split)),
        Form::Folder => class_folders(folder, &entries, options),
    }
}

fn class_folders(folder: &Path, entries: &[Entry], options: FolderOptions) -> Result<Parts> {
    // A class may be called "train" too: a part is told from a class by the folders in it.
    let part = |name: &str| -> Result<Option<PathBuf>> {
        let Some(entry) = entries.iter().find(|entry| entry.is_folder && entry.name == name) else {
            return Ok(None);
        };
        let is_part = self::entries(&entry.path)?.iter().any(|inner| inner.is_folder);
        Ok(is_part.then(|| entry.path.clone()))
    };
    let mut tests = Vec::new();
    for name in TEST_FOLDERS {
        tests.extend(part(name)?);
    }
    let mut notes = Vec::new();
    let (train, test) = match (part("train")?, tests.first()) {
        (Some(train), Some(test)) => {
            let others = entries
                .iter()
                .filter(|entry| entry.path != train && entry.path != *test)
                .map(|entry| entry.path.clone());
            note(&mut notes, &others.collect::<Vec<_>>(), "is neither trained nor tested on");
            let (train_set, test_set) =
                (pictures(&train, options, &mut notes)?, pictures(test, options, &mut notes)?);
            check_classes(folder, [&train, test], [&train_set, &test_set])?;
            (train_set, test_set)
        }
        (None, None) => pictures(folder, options, &mut notes)?.split(TEST_SHARE, options.seed)?,
        (Some(_), None) => {
            return Err(Error::unusable(
                folder,
                "it holds train, but no test and no val with the same class folders; add one, or \
                 name the folder train itself: a tenth of it is then kept for the test",
            ));
        }
        (None, Some(test)) => {
            return Err(Error::unusable(
                folder,
                format!(
                    "it holds {}, but no train with the same class folders; add it",
                    name_of(test)
                ),
            ));
        }
    };
    for part in [&train, &test] {
        note(&mut notes, part.passed_over(), "is no picture by its name and passed over");
    }
    Ok(Parts { train: Arc::new(train), test: Arc::new(test), notes })
}

/// The pictures of a part, less the broken ones if that is asked for, each of which is noted.
fn pictures(part: &Path, options: FolderOptions, notes: &mut Vec<String>) -> Result<ImageFolder> {
    let all = ImageFolder::open(part, options.shape)?;
    let all = if options.digits { all.as_digits() } else { all };
    if !options.skip_broken {
        return Ok(all);
    }
    let count = all.len();
    let (whole, broken) = all.without_broken()?;
    notes.extend(broken.iter().map(|error| format!("left out: {error}")));
    if !broken.is_empty() {
        let (broken, part) = (broken.len(), part.display());
        notes.push(format!("{broken} of the {count} pictures in {part} are broken and left out"));
    }
    Ok(whole)
}

/// A sentence about files, of which the first is named.
fn note(notes: &mut Vec<String>, files: &[PathBuf], what: &str) {
    match files {
        [] => {}
        [one] => notes.push(format!("{} {what}", one.display())),
        [first, more @ ..] => {
            notes.push(format!("{} {what}, and so are {} more", first.display(), more.len()));
        }
    }
}

fn check_classes(folder: &Path, parts: [&Path; 2], sets: [&ImageFolder; 2]) -> Result<()> {
    let [train, test] = sets.map(Dataset::classes);
    let alone = |of: &[String], other: &[String], part: &Path| {
        let name = of.iter().find(|class| !other.contains(class))?;
        Some(format!("{name} is in {} alone", name_of(part)))
    };
    let differences: Vec<String> = [alone(train, test, parts[0]), alone(test, train, parts[1])]
        .into_iter()
        .flatten()
        .collect();
    if differences.is_empty() {
        return Ok(());
    }
    let problem = format!(
        "its two parts have different classes ({}); let both have the same class folders",
        differences.join(", ")
    );
    Err(Error::unusable(folder, problem))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What is in a folder that should be one of data.
fn entries_of(folder: &Path) -> Result<Vec<Entry>> {
    let missing = |source| Error::Folder { folder: folder.to_owned(), source };
    if !fs::metadata(folder).map_err(missing)?.is_dir() {
        return Err(Error::unusable(
            folder,
            "it is a file and no folder; name the folder of the data",
        ));
    }
    entries(folder)
}

/// Whether the name is that of one of the four files of MNIST, in any published form.
fn is_idx(name: &str) -> bool {
    let starts = ["train-images", "train-labels", "t10k-images", "t10k-labels"];
    starts.iter().any(|start| name.starts_with(start)) && name.contains("idx")
}

/// Whether there are pictures in a folder, or in the folders in it.
fn holds_pictures(folder: &Path) -> Result<bool> {
    for entry in entries(folder)? {
        let holds = match entry.is_folder {
            true => entries(&entry.path)?.iter().any(|inner| is_picture(&inner.name)),
            false => is_picture(&entry.name),
        };
        if holds {
            return Ok(true);
        }
    }
    Ok(false)
}

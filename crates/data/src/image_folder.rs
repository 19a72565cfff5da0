//! A folder of class folders of pictures, decoded when they are asked for.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use ferrotape_backend::Rng;

use crate::dataset::{Dataset, Image, Sample};
use crate::error::{Error, Result};
use crate::picture::Picture;

/// The endings of the names of pictures, in lower case.
const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "webp", "bmp", "gif"];

/// The pictures of a folder in which every class has a folder of its own: torchvision's
/// `ImageFolder`.
///
/// The names of the folders are the names of the classes, in the order of their characters. Pictures
/// are decoded when a sample is asked for and brought to one size as [`Picture::fit`] says, so that
/// a folder may be larger than memory.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// use ferrotape_data::{Dataset, ImageFolder};
///
/// for (class, grey) in [("night", 0), ("day", 255)] {
///     std::fs::create_dir(folder.join(class))?;
///     image::GrayImage::from_pixel(40, 30, image::Luma([grey])).save(folder.join(class).join("1.png"))?;
/// }
/// let pictures = ImageFolder::open(folder, [1, 8, 8])?;
/// assert_eq!(pictures.classes(), ["day", "night"]);
/// assert_eq!(pictures.sample(1)?.image.pixels(), [0; 64]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    folder: PathBuf,
    files: Vec<(PathBuf, usize)>,
    classes: Vec<String>,
    shape: [usize; 3],
    /// Whether the pictures are of digits, for a model that was trained on MNIST's.
    digits: bool,
    passed_over: Vec<PathBuf>,
}

impl ImageFolder {
    /// The pictures of the class folders in `folder`, to be given the shape `[C, H, W]`.
    ///
    /// A picture is told by its name, which ends with `.png`, `.jpg`, `.jpeg`, `.webp`, `.bmp` or
    /// `.gif`. Names that begin with a dot do not count.
    ///
    /// # Errors
    ///
    /// If there are not at least two class folders, if one holds no picture or another folder, if a
    /// name is not Unicode, or if a folder cannot be read.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// let error = ferrotape_data::ImageFolder::open(folder.path(), [3, 32, 32]).unwrap_err();
    /// assert!(error.to_string().contains("no class folders"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn open(folder: impl AsRef<Path>, shape: [usize; 3]) -> Result<Self> {
        let folder = folder.as_ref();
        let (mut files, mut classes, mut passed_over) = (Vec::new(), Vec::new(), Vec::new());
        let mut loose = 0;
        for Entry { name, path, is_folder } in entries(folder)? {
            if !is_folder {
                loose += usize::from(is_picture(&name));
                continue;
            }
            let first = files.len();
            for file in entries(&path)? {
                if file.is_folder {
                    return Err(Error::unusable(
                        &file.path,
                        format!(
                            "there is a folder in the class folder {name}; put its pictures into {name} itself, or move it away"
                        ),
                    ));
                }
                if is_picture(&file.name) {
                    files.push((file.path, classes.len()));
                } else {
                    passed_over.push(file.path);
                }
            }
            if files.len() == first {
                return Err(Error::unusable(
                    path,
                    "this class folder holds no picture (.png, .jpg, .jpeg, .webp, .bmp or .gif); \
                     put some there, or remove the folder",
                ));
            }
            classes.push(name);
        }
        match classes.as_slice() {
            [] if loose > 0 => Err(Error::unusable(
                folder,
                format!(
                    "{loose} pictures lie in the folder itself, which says nothing of their \
                     classes; put those of each class into a folder of its name"
                ),
            )),
            [] => Err(Error::unusable(
                folder,
                "it holds no class folders; put the pictures of each class into a folder of its \
                 name",
            )),
            [only] => Err(Error::unusable(
                folder,
                format!(
                    "it holds one class folder, {only}, and there is nothing to tell it from; add \
                     the folders of other classes"
                ),
            )),
            _ => Ok(Self {
                folder: folder.into(),
                files,
                classes,
                shape,
                digits: false,
                passed_over,
            }),
        }
    }

    /// Parts the pictures of every class at random, but always in the same way for a seed: about
    /// `share` of them, and at least one, go to the second part, the rest to the first.
    ///
    /// # Errors
    ///
    /// If a class has a single picture, or `share` is not above 0 and below 1.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// use ferrotape_data::{Dataset, ImageFolder};
    ///
    /// for class in ["a", "b"] {
    ///     std::fs::create_dir(folder.join(class))?;
    ///     for number in 0..20 {
    ///         std::fs::write(folder.join(class).join(format!("{number}.png")), "")?;
    ///     }
    /// }
    /// let (train, test) = ImageFolder::open(folder, [1, 8, 8])?.split(0.1, 42)?;
    /// assert_eq!((train.len(), test.len()), (36, 4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn split(self, share: f64, seed: u64) -> Result<(Self, Self)> {
        if !(share > 0.0 && share < 1.0) {
            return Err(Error::Dataset(format!(
                "a share of {share} of the pictures cannot be kept for the test; give a number \
                 between 0 and 1"
            )));
        }
        let rng = Rng::new(seed).path("split");
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (label, class) in self.classes.iter().enumerate() {
            let of_class: Vec<_> = self.files.iter().filter(|file| file.1 == label).collect();
            if of_class.len() < 2 {
                return Err(Error::unusable(
                    self.folder.join(class),
                    "this class has a single picture, and some are needed to train and others to \
                     test; add more",
                ));
            }
            let kept = (of_class.len() as f64 * share).round() as usize;
            let kept = kept.clamp(1, of_class.len() - 1);
            let order = rng.call(label as u64).permutation(of_class.len());
            let mut is_test = vec![false; of_class.len()];
            order[..kept].iter().for_each(|&position| is_test[position] = true);
            for (file, is_test) in of_class.into_iter().zip(is_test) {
                if is_test { &mut second } else { &mut first }.push(file.clone());
            }
        }
        let second = Self { files: second, passed_over: Vec::new(), ..self.clone() };
        Ok((Self { files: first, ..self }, second))
    }

    /// The pictures that can be read, and what is wrong with each of the others. Every picture is decoded
    /// once, on all cores.
    ///
    /// # Errors
    ///
    /// If no picture of a class can be read, or memory or open files run out, which says nothing about a
    /// picture.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// use ferrotape_data::{Dataset, ImageFolder};
    ///
    /// for class in ["night", "day"] {
    ///     std::fs::create_dir(folder.join(class))?;
    ///     image::GrayImage::new(9, 9).save(folder.join(class).join("1.png"))?;
    /// }
    /// std::fs::write(folder.join("night/2.png"), "no picture")?;
    /// let (pictures, broken) = ImageFolder::open(folder, [1, 8, 8])?.without_broken()?;
    /// assert_eq!((pictures.len(), broken.len()), (2, 1));
    /// assert!(broken[0].to_string().contains("2.png"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn without_broken(self) -> Result<(Self, Vec<Error>)> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let share = self.files.len().div_ceil(threads).max(1);
        let found: Vec<Option<Error>> = thread::scope(|scope| {
            let read = |files: &[(PathBuf, usize)]| -> Vec<Option<Error>> {
                files.iter().map(|(path, _)| self.read(path).err()).collect()
            };
            let start = |files| thread::Builder::new().spawn_scoped(scope, move || read(files));
            let parts: Vec<_> =
                self.files.chunks(share).map(|files| start(files).map_err(|_| files)).collect();
            parts
                .into_iter()
                .flat_map(|part| match part {
                    Ok(thread) => {
                        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                    }
                    // Where no thread can be had, this one does the work.
                    Err(files) => read(files),
                })
                .collect()
        });
        let (mut files, mut broken) = (Vec::new(), Vec::new());
        for (file, error) in self.files.iter().zip(found) {
            match error {
                None => files.push(file.clone()),
                Some(error) if error.is_shortage() => return Err(error),
                Some(error) => broken.push(error),
            }
        }
        let is_lost = |class: &usize| !files.iter().any(|(_, label)| label == class);
        if let Some(class) = (0..self.classes.len()).find(is_lost) {
            return Err(Error::unusable(
                self.folder.join(&self.classes[class]),
                "not one picture of this class can be read; put whole ones there, or remove the folder",
            ));
        }
        Ok((Self { files, ..self }, broken))
    }

    /// The same pictures, each made to what MNIST's makers would have made of it ([`Picture::digit`]): for a
    /// model that was trained on digits. Its images have one channel.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// # for class in ["0", "1"] {
    /// #     std::fs::create_dir(folder.join(class))?;
    /// #     image::GrayImage::from_pixel(9, 9, image::Luma([255])).save(folder.join(class).join("1.png"))?;
    /// # }
    /// use ferrotape_data::{Dataset, ImageFolder};
    ///
    /// // An empty bright page becomes an empty dark one.
    /// let pages = ImageFolder::open(folder, [1, 8, 8])?;
    /// assert_eq!(pages.sample(0)?.image.pixels(), [255; 64]);
    /// assert_eq!(pages.as_digits().sample(0)?.image.pixels(), [0; 64]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn as_digits(self) -> Self {
        Self { digits: true, ..self }
    }

    fn read(&self, path: &Path) -> Result<Image<'static>> {
        let picture = Picture::read(path)?;
        match self.digits {
            true => picture.digit(self.shape),
            false => picture.fit(self.shape),
        }
    }

    /// The file of a sample.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// # for class in ["a", "b"] {
    /// #     std::fs::create_dir(folder.join(class))?;
    /// #     std::fs::write(folder.join(class).join("1.png"), "")?;
    /// # }
    /// let pictures = ferrotape_data::ImageFolder::open(folder, [1, 8, 8])?;
    /// assert!(pictures.file(1).is_some_and(|file| file.ends_with("b/1.png")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn file(&self, index: usize) -> Option<&Path> {
        self.files.get(index).map(|(path, _)| path.as_path())
    }

    /// The files that are no pictures by their names.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// # for class in ["a", "b"] {
    /// #     std::fs::create_dir(folder.join(class))?;
    /// #     std::fs::write(folder.join(class).join("1.png"), "")?;
    /// # }
    /// std::fs::write(folder.join("a/notes.txt"), "")?;
    /// let pictures = ferrotape_data::ImageFolder::open(folder, [1, 8, 8])?;
    /// assert_eq!(pictures.passed_over(), [folder.join("a/notes.txt")]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn passed_over(&self) -> &[PathBuf] {
        &self.passed_over
    }
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn sample(&self, index: usize) -> Result<Sample<'_>> {
        let Some((path, label)) = self.files.get(index) else {
            return Err(Error::Index { index, len: self.len() });
        };
        Ok(Sample { image: self.read(path)?, label: *label })
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn image_shape(&self) -> [usize; 3] {
        self.shape
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn label(&self, index: usize) -> Result<usize> {
        let known = self.files.get(index).map(|(_, label)| *label);
        known.ok_or(Error::Index { index, len: self.len() })
    }
}

/// Something in a folder.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) is_folder: bool,
}

/// What is in a folder, hidden files left out, in the order of the names.
pub(crate) fn entries(folder: &Path) -> Result<Vec<Entry>> {
    let failed = |source| Error::Read { file: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let Ok(name) = entry.file_name().into_string() else {
            return Err(Error::unusable(path, "the name is not Unicode; give it another"));
        };
        if !name.starts_with('.') {
            // A link counts as what it leads to; a picture that leads nowhere is a broken one.
            let is_folder = match fs::metadata(&path) {
                Ok(data) => data.is_dir(),
                Err(_) if is_picture(&name) => false,
                Err(source) => return Err(unread(&path, source)),
            };
            found.push(Entry { name, path, is_folder });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Why a file or folder cannot be read, which of a link is most often what it leads to.
pub(crate) fn unread(path: &Path, source: io::Error) -> Error {
    match fs::read_link(path) {
        Ok(to) if source.kind() == io::ErrorKind::NotFound => Error::unusable(
            path,
            format!(
                "it is a link to {}, where there is nothing; put that back, or remove the link",
                to.display()
            ),
        ),
        _ => Error::Read { file: path.to_owned(), source },
    }
}

/// Whether a file is a picture by its name.
pub(crate) fn is_picture(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

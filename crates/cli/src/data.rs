//! Where a command's images come from.

use std::path::Path;
use std::sync::Arc;

use ferrotape::backend::Rng;
use ferrotape::data::{
    Dataset, Fitted, FolderOptions, Form, Normalise, Parts, Subset, Synthetic, form_of, open_folder,
};
use ferrotape::prelude::zoo;
use ferrotape::train::{Record, RunConfig, RunData, RunFolder, recipe_for, test_loader};

use crate::error::{Failure, Result};
use crate::model;
use crate::say::say;

/// The digits that the command carries.
const BUNDLED: &str = "mnist";
/// Images that are made up.
const SYNTHETIC: &str = "synthetic";
/// How many of them there are, to train and to test on, or as many as it takes to have two of each
/// class, and one.
const SYNTHETIC_IMAGES: [usize; 2] = [2000, 500];
/// Of how many images the mean and deviation are taken that those of a folder are normalised by.
const MEASURED: usize = 1000;

/// Flags that say which images to use.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Source {
    /// `mnist` for the digits that the command carries, `synthetic` for made-up images of the
    /// model's size, or a folder: of class folders of pictures (DIR/CLASS/*.png, or in DIR/train and
    /// DIR/test), MNIST's four IDX files, or CIFAR's binary files [default: what the run was trained
    /// on, otherwise mnist].
    #[arg(long, value_name = "DATA")]
    pub(crate) data: Option<String>,
    /// The form of the folder, if its files leave it open.
    #[arg(long, requires = "data", value_parser = Form::ALL.map(Form::name))]
    pub(crate) format: Option<String>,
}

impl Source {
    /// The recipe of a model for the data that the flags name, or for the digits.
    pub(crate) fn recipe(&self, model: &str) -> RunConfig {
        self.over(recipe_for(model, self.data.as_deref().unwrap_or(BUNDLED)))
    }

    /// The configuration with the data that the flags name, if they name any.
    pub(crate) fn over(&self, config: RunConfig) -> RunConfig {
        match &self.data {
            Some(data) => RunConfig { data: data.clone(), format: self.format.clone(), ..config },
            None => config,
        }
    }
}

/// Loads training and test data as a configuration says, and notes the form of a folder there.
///
/// Images are normalised by `normalise`, or else: MNIST and its relatives by MNIST's constants,
/// pictures by ImageNet's in colour and by their own in grey, all others by their own.
pub(crate) fn load(config: &mut RunConfig, normalise: Option<Normalise>) -> Result<RunData> {
    load_as(config, normalise, false)
}

/// As [`load`], where the pictures of a folder are made to `digits` if the model expects those.
pub(crate) fn load_as(
    config: &mut RunConfig,
    normalise: Option<Normalise>,
    digits: bool,
) -> Result<RunData> {
    let entry = zoo::find(&config.model)?;
    let shape = model::image_shape(config)?;
    let name = config.data.clone();
    let is_named = [BUNDLED, SYNTHETIC].contains(&name.as_str()) && !Path::new(&name).is_dir();
    if let (true, Some(format)) = (is_named, &config.format) {
        return Err(Failure::Said(format!(
            "--format {format} is about a folder, and {name} is none; leave --format away"
        )));
    }
    let parts = match name.as_str() {
        BUNDLED if is_named => bundled()?,
        SYNTHETIC if is_named => {
            let [train, test] = SYNTHETIC_IMAGES;
            let classes = entry.classes;
            let images = Synthetic::new(shape, classes, train.max(2 * classes), config.seed)?;
            let test = Arc::new(images.others(test.max(classes)));
            Parts { train: Arc::new(images), test, notes: Vec::new() }
        }
        folder => {
            let form = match &config.format {
                Some(name) => name.parse()?,
                None => form_of(folder)?,
            };
            config.format = Some(form.name().into());
            let skip_broken = config.skip_broken;
            open_folder(
                folder,
                form,
                FolderOptions { shape, seed: config.seed, skip_broken, digits },
            )?
        }
    };
    let is_folder = config.format.as_deref() == Some(Form::Folder.name());
    let shapes = [&parts.train, &parts.test].map(|part| part.image_shape());
    if shapes[0] != shapes[1] {
        return Err(Failure::Said(format!(
            "the training images of {name} are of {:?} (channels, height, width) and its test images of {:?}; \
             give data whose parts belong together (--data)",
            shapes[0], shapes[1]
        )));
    }
    let parts = Parts {
        train: fitted(parts.train, shape)?,
        test: fitted(parts.test, shape)?,
        notes: parts.notes,
    };
    for note in &parts.notes {
        say!("note: {note}");
    }
    let normalise = match normalise {
        Some(normalise) => normalise,
        None if is_folder && shape[0] == 3 => Normalise::imagenet(),
        None if is_folder => Normalise::of(&*parts.train, MEASURED)?,
        None if name == BUNDLED && is_named
            || config.format.as_deref() == Some(Form::Idx.name()) =>
        {
            let Normalise { mean, std } = Normalise::mnist();
            Normalise { mean: mean.repeat(shape[0]), std: std.repeat(shape[0]) }
        }
        None => Normalise::of(&*parts.train, usize::MAX)?,
    };
    let train = match config.limit {
        Some(count) if count < parts.train.len() => {
            // A folder's pictures are sorted by class: the first ones would be of one alone.
            let indices = if is_folder {
                let rng = Rng::new(config.seed).path("limit");
                rng.permutation(parts.train.len())[..count].to_vec()
            } else {
                (0..count).collect()
            };
            Arc::new(Subset::new(parts.train, indices)?)
        }
        _ => parts.train,
    };
    Ok(RunData { train, test: parts.test, normalise })
}

/// The images in the shape that the model takes.
pub(crate) fn fitted(images: Arc<dyn Dataset>, shape: [usize; 3]) -> Result<Arc<dyn Dataset>> {
    match images.image_shape() == shape {
        true => Ok(images),
        false => Ok(Arc::new(Fitted::new(images, shape)?)),
    }
}

/// Reads every picture of the test part of a folder once: a broken one is then known before hours
/// of training, at whose end they are needed, and not after.
pub(crate) fn check_test_pictures(data: &RunData, config: &RunConfig) -> Result<()> {
    if config.format.as_deref() == Some(Form::Folder.name()) {
        for batch in test_loader(data, config)?.epoch(0) {
            batch?;
        }
    }
    Ok(())
}

/// The system's numbers of the error of too many open files, of all programs and of this one: on Linux and macOS.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// Names the flag that trains without the pictures that cannot be read, where one of them ended the run.
pub(crate) fn or_skip(error: Failure) -> Failure {
    use ferrotape::data::Error;
    let Failure::Library(cause) = &error else { return error };
    let data = match cause.downcast_ref::<ferrotape::train::Error>() {
        Some(ferrotape::train::Error::Data(data)) => Some(data),
        _ => cause.downcast_ref::<Error>(),
    };
    let Some(Error::Sample { source, .. }) = data else { return error };
    // A file that cannot be opened because too many are is no broken picture.
    let is_of_machine = |source: &std::io::Error| {
        source.kind() == std::io::ErrorKind::OutOfMemory
            || source.raw_os_error().is_some_and(|number| matches!(number, ENFILE | EMFILE))
    };
    match **source {
        Error::Read { ref source, .. } if is_of_machine(source) => error,
        Error::Read { .. } | Error::Unusable { .. } => Failure::Said(format!(
            "{error}; or train without the pictures that cannot be read (--skip-broken)"
        )),
        _ => error,
    }
}

/// Says of a run's own data where its folder was looked for.
pub(crate) fn of_run(error: Failure) -> Failure {
    Failure::Said(format!(
        "{error} (this is the data that the run was trained on, as it was named then, from the folder the \
         command was called in; --data names it, or other data, from here)"
    ))
}

/// The same for a run that goes on, which takes no other data.
pub(crate) fn of_resumed(error: Failure) -> Failure {
    Failure::Said(format!(
        "{error} (this is the data that the run is trained on, as it was named then, from the folder the command \
         was called in; call it there, or write where the data are now as `data` into the run's config.toml)"
    ))
}

/// Says so if the run was tested on another number of images than the data has now: a folder without a
/// test part is split anew, and some of the images may have been trained on.
pub(crate) fn note_changes(run: &Path, data: &RunData) -> Result<()> {
    let records = RunFolder::open(run)?.read_records().unwrap_or_default();
    let Some(Record::Final(last)) = records.last() else { return Ok(()) };
    if last.test_images != data.test.len() as u64 {
        say!(
            "note: the run was tested on {} images, and the data has {} now; where its test part is drawn from \
             all images, some of these may have been trained on",
            last.test_images,
            data.test.len()
        );
    }
    Ok(())
}

/// Whether a model expects digits, in pictures of any size: one of grey images that saw MNIST's, or others in files of
/// their form.
pub(crate) fn expects_digits(config: &RunConfig, channels: usize) -> bool {
    channels == 1
        && match &config.format {
            Some(format) => format == Form::Idx.name(),
            None => config.data == BUNDLED,
        }
}

/// What images are normalised by where no run says it: MNIST's constants in grey, ImageNet's in
/// colour, as weights that others publish expect it.
pub(crate) fn usual(channels: usize) -> Normalise {
    if channels == 3 { Normalise::imagenet() } else { Normalise::mnist() }
}

/// Refuses data of other classes than those that a run tells apart.
pub(crate) fn check_classes(config: &RunConfig, data: &RunData) -> Result<()> {
    let (run, images) = (config.classes.as_slice(), data.test.classes());
    // Runs of before the names were noted have none.
    if run.is_empty() || run == images {
        return Ok(());
    }
    let few = |names: &[String]| match names {
        [a, b, c, _, ..] => format!("{a}, {b}, {c} and {} more", names.len() - 3),
        names => names.join(", "),
    };
    Err(Failure::Said(format!(
        "the run tells apart the classes {}, but those of {} are {}; give data with the same \
         classes (--data)",
        few(run),
        config.data,
        few(images)
    )))
}

#[cfg(feature = "bundled-mnist")]
fn bundled() -> Result<Parts> {
    let (train, test) = ferrotape_mnist::train_and_test()?;
    Ok(Parts { train: Arc::new(train), test: Arc::new(test), notes: Vec::new() })
}

#[cfg(not(feature = "bundled-mnist"))]
fn bundled() -> Result<Parts> {
    Err(Failure::Said(
        "this build carries no data; give --data synthetic, or --data DIR with pictures or the \
         four MNIST files, or build with the feature bundled-mnist"
            .into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_expected_by_models_that_saw_digits() {
        let saw = |data: &str, form: Option<Form>| {
            let format = form.map(|form| form.name().to_owned());
            expects_digits(&RunConfig { data: data.into(), format, ..RunConfig::default() }, 1)
        };
        assert!(saw(BUNDLED, None) && saw("fashion", Some(Form::Idx)));
        assert!(!saw(SYNTHETIC, None) && !saw("cifar", Some(Form::Cifar10)));
        assert!(!saw("mnist", Some(Form::Folder)));
        assert!(!expects_digits(&RunConfig::default(), 3));
    }
}

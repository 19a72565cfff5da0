//! Data that are damaged, contradict themselves, or are not there.

use std::fs;
use std::sync::Arc;

use ferrotape::data::idx::Idx;
use ferrotape::data::{
    FloatImage, FolderOptions, Form, Image, ImageFolder, InMemory, Mixing, Normalise, Picture,
    Sample, Split, Subset, Synthetic, Transform, cifar10_folder, cifar100_folder, fold, form_of,
    mnist_folder, mnist_pair, open_folder, split,
};
use ferrotape::prelude::*;

use crate::{Case, Outcome, case};

/// An IDX file of bytes with this header.
fn idx(sizes: &[u32], data: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn read(bytes: &[u8]) -> Outcome {
    Idx::from_bytes("images.idx", bytes)?;
    Ok(())
}

/// A folder with these files.
fn folder(name: &str, files: &[(&str, &[u8])]) -> Result<String, std::io::Error> {
    for (file, bytes) in files {
        let path = std::path::Path::new(name).join(file);
        fs::create_dir_all(path.parent().expect("the file is in the folder"))?;
        fs::write(path, bytes)?;
    }
    Ok(name.to_owned())
}

fn picture(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::GrayImage::new(width, height);
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("memory takes everything");
    bytes.into_inner()
}

pub(crate) fn cases() -> Vec<Case> {
    [files(), folders(), pictures(), datasets(), loaders()].into_iter().flatten().collect()
}

fn files() -> Vec<Case> {
    vec![
        case("an IDX file that is empty", || read(b"")),
        case("an IDX file that is a page of HTML", || read(b"<!DOCTYPE html><html></html>")),
        case("an IDX file cut in its header", || read(&idx(&[2, 28, 28], 0)[..9])),
        case("an IDX file cut in its data", || read(&idx(&[2, 28, 28], 28 * 28))),
        case("an IDX file with bytes behind its data", || read(&idx(&[2], 3))),
        case("an IDX file that declares 2⁹⁶ elements", || read(&idx(&[u32::MAX; 3], 100))),
        case("an IDX file of an unknown type", || read(&[0, 0, 7, 1, 0, 0, 0, 1, 0])),
        case("an IDX file of 255 dimensions", || read(&idx(&[1; 255], 1)[..64])),
        case("a gzip file cut short", || read(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2])),
        case("an IDX file that is not there", || -> Outcome {
            Idx::read("no/images.idx")?;
            Ok(())
        }),
        case("images and labels exchanged", || -> Outcome {
            let [images, labels] = [idx(&[2, 4, 4], 32), idx(&[2], 2)];
            let read = |bytes| Idx::from_vec("file.idx", bytes);
            mnist_pair(read(labels)?, read(images)?)?;
            Ok(())
        }),
        case("3 images and 2 labels", || -> Outcome {
            let images = Idx::from_vec("images.idx", idx(&[3, 4, 4], 48))?;
            mnist_pair(images, Idx::from_vec("labels.idx", idx(&[2], 2))?)?;
            Ok(())
        }),
        case("a label of 10 among digits", || -> Outcome {
            let mut labels = idx(&[2], 2);
            labels[9] = 10;
            let images = Idx::from_vec("images.idx", idx(&[2, 4, 4], 32))?;
            mnist_pair(images, Idx::from_vec("labels.idx", labels)?)?;
            Ok(())
        }),
    ]
}

fn folders() -> Vec<Case> {
    let options = FolderOptions { shape: [1, 8, 8], ..FolderOptions::default() };
    vec![
        case("a folder of data that is not there", || form_of("no/data").map(drop)),
        case("a folder of data that is a file", || -> Outcome {
            fs::write("file", "data")?;
            form_of("file")?;
            Ok(())
        }),
        case("a folder that is empty", || -> Outcome {
            fs::create_dir("nothing")?;
            form_of("nothing")?;
            Ok(())
        }),
        case("MNIST without its labels", || -> Outcome {
            let images = idx(&[1, 28, 28], 784);
            mnist_folder(folder("mnist", &[("train-images-idx3-ubyte", &images)])?, Split::Train)?;
            Ok(())
        }),
        case("CIFAR-10 cut short", || -> Outcome {
            cifar10_folder(folder("cifar", &[("test_batch.bin", &[0; 3000])])?, Split::Test)?;
            Ok(())
        }),
        case("CIFAR-10 with a label of 10", || -> Outcome {
            cifar10_folder(folder("cifar-10", &[("test_batch.bin", &[10; 3073])])?, Split::Test)?;
            Ok(())
        }),
        case("CIFAR-100 with a label of 100", || -> Outcome {
            cifar100_folder(folder("cifar-100", &[("test.bin", &[100; 3074])])?, Split::Test)?;
            Ok(())
        }),
        case("a class folder that is empty", move || -> Outcome {
            let pictures =
                folder("a", &[("cat/1.png", &picture(8, 8)), ("cat/2.png", &picture(8, 8))])?;
            fs::create_dir("a/dog")?;
            open_folder(pictures, Form::Folder, options)?;
            Ok(())
        }),
        case("class folders without a picture", move || -> Outcome {
            open_folder(folder("b", &[("cat/notes.txt", b"none")])?, Form::Folder, options)?;
            Ok(())
        }),
        case("test pictures of a class that training has not", move || -> Outcome {
            let one = picture(8, 8);
            let places = ["train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/cow/1.png"];
            let files = places.map(|place| (place, &one[..]));
            open_folder(folder("c", &files)?, Form::Folder, options)?;
            Ok(())
        }),
    ]
}

fn pictures() -> Vec<Case> {
    /// A picture of a class folder, asked for.
    fn first(name: &str, bytes: &[u8]) -> Outcome {
        let files = [("cat/1.png", bytes), ("dog/1.png", &picture(8, 8))];
        let pictures = ImageFolder::open(folder(name, &files)?, [1, 8, 8])?;
        pictures.sample(0)?;
        Ok(())
    }
    vec![
        case("a picture that is empty", || first("d", b"")),
        case("a picture that is text", || first("e", b"not a picture at all")),
        case("a picture cut short", || first("f", &picture(64, 64)[..50])),
        case("a PNG of 4,000,000,000 × 4,000,000,000 pixels", || {
            let mut bytes = picture(64, 64);
            bytes[16..24].copy_from_slice(&[0xee, 0x6b, 0x28, 0, 0xee, 0x6b, 0x28, 0]);
            // The checksum of the header, so that the size is what is wrong and not that.
            let crc = crc(&bytes[12..29]).to_be_bytes();
            bytes[29..33].copy_from_slice(&crc);
            first("g", &bytes)
        }),
        case("a picture that is not there", || Picture::read("no/picture.png").map(drop)),
        case("a picture fitted to no pixels", || -> Outcome {
            fs::write("h.png", picture(8, 8))?;
            Picture::read("h.png")?.fit([3, 0, 8])?;
            Ok(())
        }),
        case("a picture fitted to two channels", || -> Outcome {
            fs::write("i.png", picture(8, 8))?;
            Picture::read("i.png")?.fit([2, 8, 8])?;
            Ok(())
        }),
    ]
}

/// The CRC-32 of PNG and zip, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

fn small() -> Result<InMemory, ferrotape::data::Error> {
    InMemory::new(vec![0; 4], [1, 1, 1], vec![0, 0, 1, 1], InMemory::numbered_classes(2))
}

fn datasets() -> Vec<Case> {
    let new = |bytes, shape, labels: Vec<usize>| {
        InMemory::new(vec![0; bytes], shape, labels, InMemory::numbered_classes(2)).map(drop)
    };
    vec![
        case("7 bytes for two images of 2 × 2", move || new(7, [1, 2, 2], vec![0, 1])),
        case("images without pixels", move || new(0, [1, 0, 2], vec![0, 1])),
        case("images whose size overflows", move || new(8, [1 << 32, 1 << 32, 2], vec![0, 1])),
        case("a label beyond the classes", move || new(8, [1, 2, 2], vec![0, 2])),
        case("an image of another size than its bytes", || {
            Image::new(vec![0; 5], [1, 2, 2]).map(drop)
        }),
        case("a sample beyond the end", || small()?.sample(4).map(drop)),
        case("a subset of a sample beyond the end", || Subset::new(small()?, vec![4]).map(drop)),
        case("a split that leaves nothing to train on", || {
            split(Arc::new(small()?), 1.0, 1).map(drop)
        }),
        case("fold 3 of 3", || fold(Arc::new(small()?), 3, 3, 1).map(drop)),
        case("made-up images of no classes", || Synthetic::new([1, 4, 4], 0, 10, 1).map(drop)),
        case("made-up images of 2⁵⁰ pixels", || {
            Synthetic::new([1, 1 << 30, 1 << 20], 2, 10, 1).map(drop)
        }),
        case("made-up images whose size overflows", || {
            Synthetic::new([usize::MAX, 2, 2], 2, 10, 1).map(drop)
        }),
    ]
}

/// Images whose size is their number.
#[derive(Clone)]
struct Growing(Vec<String>);

impl Dataset for Growing {
    fn len(&self) -> usize {
        2
    }

    fn sample(&self, index: usize) -> ferrotape::data::Result<Sample<'_>> {
        let side = index + 1;
        Ok(Sample { image: Image::new(vec![0; side * side], [1, side, side])?, label: index })
    }

    fn classes(&self) -> &[String] {
        &self.0
    }

    fn image_shape(&self) -> [usize; 3] {
        [1, 1, 1]
    }
}

/// The first batch of a loader.
fn batch(dataset: impl Dataset + 'static, options: LoaderOptions) -> Outcome {
    for batch in Loader::new(Arc::new(dataset), options)?.epoch(0) {
        batch?;
    }
    Ok(())
}

fn loaders() -> Vec<Case> {
    let normalise = |mean: &[f32], std: &[f32]| {
        let mut image = FloatImage::new(vec![0.0; 12], [3, 2, 2])?;
        Normalise { mean: mean.to_vec(), std: std.to_vec() }.apply(&mut image, Rng::new(1))
    };
    vec![
        case("a loader with batches of 0", || {
            batch(small()?, LoaderOptions { batch_size: 0, ..LoaderOptions::default() })
        }),
        case("a batch for which there is no memory", || {
            let options = LoaderOptions { batch_size: usize::MAX, ..LoaderOptions::default() };
            batch(Synthetic::new([3, 1000, 1000], 2, 1000, 1)?, options)
        }),
        case("a batch of images of several sizes", || {
            batch(Growing(InMemory::numbered_classes(2)), LoaderOptions::default())
        }),
        case("a dataset with a label beyond its classes", || {
            batch(Growing(InMemory::numbered_classes(0)), LoaderOptions::default())
        }),
        case("normalising 3 channels by one mean", move || normalise(&[0.5], &[0.5])),
        case("normalising by a deviation of 0", move || normalise(&[0.5; 3], &[0.5, 0.0, 0.5])),
        case("mixing by a Beta distribution of NaN", || -> Outcome {
            let loader = Loader::new(Arc::new(small()?), LoaderOptions::default())?;
            let mut batch = loader.epoch(0).next().expect("there is a batch")?;
            let mixing = Mixing { mixup: f64::NAN, cutmix: 0.0 };
            ferrotape::data::mix(&mut batch, mixing, 2, Rng::new(1))?;
            Ok(())
        }),
    ]
}

//! Folders of data: their form is told, their pictures are found, and what is wrong is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use ferrotape_data::{
    Dataset, FolderOptions, Form, ImageFolder, Loader, LoaderOptions, Normalise, Parts, Split,
    Synthetic, cifar10_folder, cifar100_folder, form_of, open_folder,
};
use image::{GrayImage, Luma, Rgb, RgbImage};
use tempfile::TempDir;

/// Writes `count` pictures of a size for each name, one grey a class.
fn classes(folder: &Path, names: &[&str], count: usize) {
    for (label, name) in names.iter().enumerate() {
        fs::create_dir_all(folder.join(name)).unwrap();
        for number in 0..count {
            let grey = Luma([(10 * label + number) as u8]);
            let picture = GrayImage::from_pixel(20 + number as u32, 30, grey);
            picture.save(folder.join(name).join(format!("{number:03}.png"))).unwrap();
        }
    }
}

fn place() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn opened(folder: &Path, seed: u64) -> Parts {
    let options = FolderOptions { shape: [1, 8, 8], seed, ..FolderOptions::default() };
    open_folder(folder, form_of(folder).unwrap(), options).unwrap()
}

fn small() -> FolderOptions {
    FolderOptions { shape: [1, 8, 8], seed: 1, ..FolderOptions::default() }
}

fn refused(folder: &Path) -> String {
    let opened = form_of(folder).and_then(|form| open_folder(folder, form, small()));
    opened.unwrap_err().to_string()
}

/// Every image of a dataset as its first byte, which tells the picture that it is from.
fn greys(dataset: &dyn Dataset) -> Vec<(u8, usize)> {
    let sample = |index| {
        let sample = dataset.sample(index).unwrap();
        (sample.image.pixels()[0], sample.label)
    };
    (0..dataset.len()).map(sample).collect()
}

#[test]
fn a_folder_without_parts_is_parted_class_by_class_by_the_seed() {
    let place = place();
    classes(place.path(), &["b", "a", "c"], 10);
    let parts = opened(place.path(), 1);
    assert_eq!(parts.train.classes(), ["a", "b", "c"]);
    let (train, test) = (greys(&*parts.train), greys(&*parts.test));
    assert_eq!(test.iter().map(|sample| sample.1).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(train.len(), 27);
    // "b" was written first, so its greys begin at 0, and its label is 1.
    assert!(train.iter().all(|&(grey, label)| usize::from(grey) / 10 == [1, 0, 2][label]));
    let all: BTreeSet<u8> = train.iter().chain(&test).map(|sample| sample.0).collect();
    assert_eq!(all, (0..30).collect());

    let of_seed = |seed| greys(&*opened(place.path(), seed).test);
    assert_eq!(of_seed(1), test);
    assert!((2..8).any(|seed| of_seed(seed) != test));
}

#[test]
fn a_folder_with_parts_keeps_them_and_says_what_it_leaves_out() {
    for test_name in ["test", "val", "valid", "validation"] {
        let place = place();
        classes(&place.path().join("train"), &["cat", "dog"], 3);
        classes(&place.path().join(test_name), &["cat", "dog"], 1);
        fs::write(place.path().join("train/cat/notes.txt"), "").unwrap();
        fs::write(place.path().join("train/cat/.DS_Store"), "").unwrap();
        fs::write(place.path().join("README"), "").unwrap();
        let parts = opened(place.path(), 1);
        assert_eq!((parts.train.len(), parts.test.len()), (6, 2));
        assert_eq!(parts.notes.len(), 2, "{:?}", parts.notes);
        assert!(parts.notes[0].contains("README is neither"), "{:?}", parts.notes);
        assert!(parts.notes[1].contains("notes.txt is no picture"), "{:?}", parts.notes);
    }
    let place = place();
    for (part, count) in [("train", 3), ("val", 2), ("test", 1)] {
        classes(&place.path().join(part), &["cat", "dog"], count);
    }
    assert_eq!(opened(place.path(), 1).test.len(), 2, "test goes before val");
}

#[test]
fn a_class_may_be_called_train() {
    let place = place();
    classes(place.path(), &["bus", "train", "test"], 2);
    assert_eq!(opened(place.path(), 1).train.classes(), ["bus", "test", "train"]);
}

#[test]
fn every_mistake_in_a_folder_has_a_sentence() {
    type Make = fn(&Path);
    let cases: [(Make, &str); 12] = [
        (|_| (), "it is empty"),
        (|at| fs::write(at.join("a.csv"), "").unwrap(), "it holds a.csv, which is no form"),
        (|at| GrayImage::new(2, 2).save(at.join("a.png")).unwrap(), "lie in no class folder"),
        (|at| classes(at, &["only"], 3), "one class folder, only"),
        (|at| classes(at, &["a", "b"], 1), "a single picture"),
        (
            |at| {
                classes(at, &["a", "b"], 3);
                fs::create_dir(at.join("c")).unwrap();
            },
            "c: this class folder holds no picture",
        ),
        (
            |at| {
                classes(at, &["a", "b"], 3);
                fs::create_dir(at.join("b/more")).unwrap();
            },
            "there is a folder in the class folder b",
        ),
        (|at| fs::create_dir_all(at.join("a")).unwrap(), "holds no picture"),
        (|at| classes(&at.join("train"), &["a", "b"], 3), "no test and no val"),
        (|at| classes(&at.join("val"), &["a", "b"], 3), "holds val, but no train"),
        (
            |at| {
                classes(&at.join("train"), &["cat", "dog"], 3);
                classes(&at.join("test"), &["cat", "dgo"], 3);
            },
            "(dog is in train alone, dgo is in test alone)",
        ),
        (
            |at| {
                classes(at, &["a", "b"], 3);
                fs::write(at.join("t10k-labels-idx1-ubyte"), "").unwrap();
                fs::write(at.join("train.bin"), "").unwrap();
            },
            "--format idx or --format folder or --format cifar100",
        ),
    ];
    for (make, said) in cases {
        let place = place();
        make(place.path());
        let sentence = refused(place.path());
        assert!(sentence.contains(said), "{said}: {sentence}");
    }
    let place = place();
    assert!(refused(&place.path().join("none")).contains("there is no folder"));
    fs::write(place.path().join("file"), "").unwrap();
    assert!(refused(&place.path().join("file")).contains("it is a file and no folder"));
}

#[test]
fn the_form_can_be_forced() {
    let place = place();
    classes(place.path(), &["a", "b"], 3);
    fs::write(place.path().join("train.bin"), "").unwrap();
    assert!(form_of(place.path()).is_err());
    let open = |form| open_folder(place.path(), form, small());
    assert_eq!(open(Form::Folder).unwrap().train.len(), 4);
    assert!(open(Form::Cifar100).unwrap_err().to_string().contains("train.bin: its 0 bytes"));
    assert!(open(Form::Idx).unwrap_err().to_string().contains("no file named train-images"));
}

#[test]
fn a_broken_picture_is_named_by_the_batch_that_needs_it() {
    let place = place();
    classes(place.path(), &["a", "b"], 3);
    fs::write(place.path().join("b/001.png"), "not a picture").unwrap();
    let pictures = ImageFolder::open(place.path(), [1, 8, 8]).unwrap();
    assert!(pictures.is_slow());
    for workers in [0, 2] {
        let options = LoaderOptions { batch_size: 2, workers, ..Default::default() };
        let loader = Loader::new(Arc::new(pictures.clone()), options).unwrap();
        let error = loader.epoch(0).find_map(Result::err).unwrap().to_string();
        assert!(error.contains("sample 4") && error.contains("b/001.png"), "{error}");
    }
}

#[test]
fn colour_and_grey_pictures_suit_models_of_either() {
    let place = place();
    classes(place.path(), &["a", "b"], 1);
    RgbImage::from_pixel(9, 9, Rgb([200, 0, 0])).save(place.path().join("a/red.JPG")).unwrap();
    let colour = ImageFolder::open(place.path(), [3, 8, 8]).unwrap();
    let sample = colour.sample(1).unwrap();
    let [red, green] = [0, 64].map(|at| sample.image.pixels()[at]);
    assert!(red > 190 && green < 10, "{red} {green}");
    let grey = ImageFolder::open(place.path(), [1, 8, 8]).unwrap();
    assert!((55..65).contains(&grey.sample(1).unwrap().image.pixels()[0]));
}

/// Records of CIFAR: the bytes before the image, then an image of the record's number.
fn records(labels: &[&[u8]]) -> Vec<u8> {
    let image = |number: usize| vec![number as u8; 3072];
    labels.iter().enumerate().flat_map(|(number, l)| [l.to_vec(), image(number)].concat()).collect()
}

#[test]
fn cifar_is_read_and_its_damages_are_named() {
    let place = place();
    let write = |name: &str, bytes: &[u8]| fs::write(place.path().join(name), bytes).unwrap();
    write("data_batch_1.bin", &records(&[&[9], &[0]]));
    write("data_batch_3.bin", &records(&[&[4]]));
    write("test_batch.bin", &records(&[&[1]]));
    let parts = opened(place.path(), 1);
    assert_eq!(greys(&*parts.train), [(0, 9), (1, 0), (0, 4)]);
    assert_eq!(parts.test.classes()[1], "automobile");
    assert_eq!(parts.test.image_shape(), [3, 32, 32]);
    let train = || cifar10_folder(place.path(), Split::Train).unwrap_err().to_string();
    write("data_batch_3.bin", &records(&[&[10]]));
    assert!(train().contains("data_batch_3.bin: label 10 of item 0"), "{}", train());
    write("data_batch_3.bin", &[0; 3072]);
    assert!(train().contains("no whole number of records of 3073"), "{}", train());

    let place = self::place();
    fs::write(place.path().join("train.bin"), records(&[&[0, 99], &[1, 98]])).unwrap();
    let read = |split| cifar100_folder(place.path(), split);
    assert_eq!(greys(&read(Split::Train).unwrap()), [(0, 99), (1, 98)]);
    assert!(read(Split::Test).unwrap_err().to_string().contains("no file named test.bin"));
    let names = place.path().join("fine_label_names.txt");
    fs::write(&names, (0..100).map(|i| format!("class {i}\n")).collect::<String>()).unwrap();
    assert_eq!(read(Split::Train).unwrap().classes()[7], "class 7");
    fs::write(&names, "apple\n").unwrap();
    assert!(read(Split::Train).unwrap_err().to_string().contains("it names 1 classes"));
}

#[test]
fn synthetic_images_of_a_class_are_nearer_to_one_another_than_to_others() {
    for shape in [[1, 28, 28], [3, 32, 32], [2, 3, 5]] {
        let train = Synthetic::new(shape, 5, 50, 7).unwrap();
        let test = train.others(10);
        let distance = |a: usize, b: usize| -> i64 {
            let (a, b) = (train.sample(a).unwrap().image, test.sample(b).unwrap().image);
            let pairs = a.pixels().iter().zip(b.pixels());
            pairs.map(|(&a, &b)| (i64::from(a) - i64::from(b)).pow(2)).sum()
        };
        for index in 0..10 {
            let nearest = (0..50).min_by_key(|&a| distance(a, index)).unwrap();
            assert_eq!(nearest % 5, test.sample(index).unwrap().label, "{shape:?}");
        }
        assert!(train.sample(50).is_err());
        let again = Synthetic::new(shape, 5, 50, 7).unwrap();
        let other = Synthetic::new(shape, 5, 50, 8).unwrap();
        assert_eq!(train.sample(3).unwrap(), again.sample(3).unwrap());
        assert_ne!(train.sample(3).unwrap(), other.sample(3).unwrap());
    }
}

#[test]
fn a_mean_over_some_images_is_one_over_images_of_all_classes() {
    let place = place();
    classes(place.path(), &["a", "b"], 10);
    let pictures = ImageFolder::open(place.path(), [1, 8, 8]).unwrap();
    let all = Normalise::of(&pictures, 1000).unwrap();
    assert!((f64::from(all.mean[0]) - 9.5 / 255.0).abs() < 1e-7, "{all:?}");
    assert!((f64::from(all.std[0]) - (399.0 / 12.0_f64).sqrt() / 255.0).abs() < 1e-7, "{all:?}");
    let some = Normalise::of(&pictures, 4).unwrap();
    assert!((f64::from(some.mean[0]) - 7.5 / 255.0).abs() < 1e-7, "{some:?}");
    // One image, the same everywhere: it is brought to 0 and not divided by 0.
    assert_eq!(Normalise::of(&pictures, 1).unwrap().std, [1.0]);
    assert!(Normalise::of(&pictures, 0).is_err());
}

#[test]
fn broken_pictures_are_left_out_and_named_where_that_is_asked_for() {
    let place = place();
    classes(place.path(), &["a", "b"], 10);
    for file in ["a/003.png", "b/007.png"] {
        fs::write(place.path().join(file), "torn").unwrap();
    }
    let options = FolderOptions { skip_broken: true, ..small() };
    let parts = open_folder(place.path(), Form::Folder, options).unwrap();
    assert_eq!(parts.train.len() + parts.test.len(), 18);
    let said = parts.notes.join("\n");
    assert!(said.contains("003.png") && said.contains("007.png"), "{said}");
    assert!(said.contains("broken and left out"), "{said}");
    for part in [&parts.train, &parts.test] {
        assert!((0..part.len()).all(|index| part.sample(index).is_ok()));
    }
    // The other pictures are in the part that they were in before.
    let tested = |parts: &Parts| parts.test.len();
    let all = open_folder(place.path(), Form::Folder, small()).unwrap();
    assert!(tested(&all) - tested(&parts) <= 2);
    for number in 0..10 {
        fs::write(place.path().join(format!("b/{number:03}.png")), "torn").unwrap();
    }
    let error = open_folder(place.path(), Form::Folder, options).unwrap_err().to_string();
    assert!(error.contains("not one picture of this class can be read"), "{error}");
}

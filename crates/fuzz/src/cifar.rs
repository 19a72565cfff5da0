//! The readers of CIFAR's binary files.

use ferrotape_data::{Dataset, Split, cifar10_folder, cifar100_folder};

use crate::memory::bounded;
use crate::place::{Place, said};

/// The bytes of an image.
const IMAGE: usize = 3 * 32 * 32;

/// The first byte says of which data set the rest is a file, whether it is a whole file or the labels and first
/// pixels of its records, and whether names of classes stand before it.
pub fn cifar(bytes: &[u8]) {
    let Some((&kind, mut rest)) = bytes.split_first() else { return };
    let (hundred, short, named) = (kind & 1 == 1, kind & 2 == 2, kind & 4 == 4);
    let place = Place::new();
    if hundred && named {
        let end = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
        place.write("fine_label_names.txt", &rest[..end]);
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    let labels = if hundred { 2 } else { 1 };
    let file = if short { expanded(rest, labels) } else { rest.to_vec() };
    let read = || match hundred {
        true => cifar100_folder(place.path(), Split::Test),
        false => cifar10_folder(place.path(), Split::Test),
    };
    place.write(if hundred { "test.bin" } else { "test_batch.bin" }, &file);
    let records: Vec<&[u8]> = file.chunks(labels + IMAGE).collect();
    match bounded(&file, 0, read) {
        Ok(images) => {
            assert_eq!((images.len(), images.image_shape()), (records.len(), [3, 32, 32]));
            for (index, record) in records.iter().enumerate() {
                let sample = images.sample(index).expect("a dataset has its samples");
                assert_eq!(sample.label, usize::from(record[labels - 1]));
                assert_eq!(sample.image.pixels(), &record[labels..]);
                assert!(sample.label < images.classes().len());
            }
        }
        Err(error) => said(&error),
    }
}

/// Records of which each begins with the next labels and one pixel, and is that pixel all over.
fn expanded(bytes: &[u8], labels: usize) -> Vec<u8> {
    let record = |part: &[u8]| {
        let (labels, pixel) = part.split_at(labels.min(part.len()));
        [labels, &[pixel.first().copied().unwrap_or_default(); IMAGE]].concat()
    };
    bytes.chunks(labels + 1).take(8).flat_map(record).collect()
}

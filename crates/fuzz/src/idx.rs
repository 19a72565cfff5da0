//! The reader of IDX, and the dataset of two such files.

use std::io::Write;

use ferrotape_data::idx::Idx;
use ferrotape_data::{Dataset, mnist_pair};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::memory::bounded;
use crate::place::said;

/// The bytes are two files, one after the other; the first two are the length of the first.
pub fn idx(bytes: &[u8]) {
    let Some((length, files)) = bytes.split_first_chunk::<2>() else { return };
    let length = usize::from(u16::from_le_bytes(*length)).min(files.len());
    let (images, labels) = files.split_at(length);
    let (Some(images), Some(labels)) = (read("images", images), read("labels", labels)) else {
        return;
    };
    match mnist_pair(images, labels) {
        Ok(dataset) => {
            assert!(!dataset.is_empty());
            for index in 0..dataset.len() {
                let sample = dataset.sample(index).expect("a dataset was checked when it was made");
                assert_eq!(sample.image.shape(), dataset.image_shape());
                assert!(sample.label < dataset.classes().len());
            }
        }
        Err(error) => said(&error),
    }
}

/// Reads a file in every way there is, which must all agree.
fn read(name: &str, bytes: &[u8]) -> Option<Idx> {
    // What gzip unpacks is at most a thousand times the file, in a vector that grows.
    let packed = bytes.starts_with(&[0x1f, 0x8b]);
    let unpacked = if packed { 4200 * bytes.len() + (256 << 10) } else { 0 };
    let borrowed = bounded(bytes, unpacked, || Idx::from_bytes(name, bytes));
    match (borrowed, Idx::from_vec(name, bytes.to_vec())) {
        (Ok(borrowed), Ok(owned)) => {
            assert_eq!(borrowed, owned);
            let size = borrowed.dims.iter().product::<usize>() * borrowed.element.size();
            assert_eq!(borrowed.data.len(), size);
            let plain = borrowed.to_bytes();
            let again = Idx::from_bytes(name, &plain).expect("what was written can be read");
            assert_eq!(again, borrowed);
            let packed = Idx::from_bytes(name, &gzip(&plain)).expect("so can it if it is packed");
            assert_eq!(packed, borrowed);
            Some(borrowed)
        }
        (Err(borrowed), Err(owned)) => {
            said(&borrowed);
            assert_eq!(borrowed.to_string(), owned.to_string());
            None
        }
        (borrowed, owned) => panic!("{:?} and {:?}", borrowed.map(|_| ()), owned.map(|_| ())),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).expect("a vector takes what is written");
    packed.finish().expect("a vector takes what is written")
}

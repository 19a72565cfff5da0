//! The IDX reader and the assembly of a dataset from two IDX files, on bytes from anywhere.
//!
//! The input is the two files, one after the other; its first two bytes are the length of the first.

#![no_main]

use ferrotape_data::idx::Idx;
use ferrotape_data::{Dataset, mnist_pair};
use libfuzzer_sys::fuzz_target;

/// Reads a file in every way there is, which must all agree.
fn read(name: &str, bytes: &[u8]) -> Option<Idx> {
    let borrowed = Idx::from_bytes(name, bytes);
    let owned = Idx::from_vec(name, bytes.to_vec());
    match (borrowed, owned) {
        (Ok(borrowed), Ok(owned)) => {
            assert_eq!(borrowed, owned);
            let size = borrowed.dims.iter().product::<usize>() * borrowed.element.size();
            assert_eq!(borrowed.data.len(), size);
            let plain = borrowed.to_bytes();
            assert_eq!(
                Idx::from_bytes(name, &plain).expect("what was written can be read"),
                borrowed
            );
            Some(borrowed)
        }
        (Err(borrowed), Err(owned)) => {
            assert_eq!(borrowed.to_string(), owned.to_string());
            None
        }
        (borrowed, owned) => panic!("{:?} and {:?}", borrowed.map(|_| ()), owned.map(|_| ())),
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((length, files)) = input.split_first_chunk::<2>() else { return };
    let length = usize::from(u16::from_le_bytes(*length)).min(files.len());
    let (images, labels) = files.split_at(length);
    let (Some(images), Some(labels)) = (read("images", images), read("labels", labels)) else {
        return;
    };
    if let Ok(dataset) = mnist_pair(images, labels) {
        assert!(!dataset.is_empty());
        for index in 0..dataset.len() {
            let sample = dataset.sample(index).expect("a dataset that was checked has its samples");
            assert_eq!(sample.image.shape(), dataset.image_shape());
            assert!(sample.label < dataset.classes().len());
        }
    }
});

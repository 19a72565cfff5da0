//! The IDX reader gives back what was written, and survives whatever else it is given.

use std::io::Write;

use allocation_counter::measure;
use ferrotape_data::idx::{Element, Idx};
use ferrotape_data::{Error, IdxProblem, mnist_pair};
use flate2::{Compression, write::GzEncoder};
use proptest::collection::vec;
use proptest::prelude::*;

/// What the decompressor's tables and an error message take, whatever the input.
const FIXED_ALLOWANCE: u64 = 128 * 1024;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("writing to memory cannot fail");
    encoder.finish().expect("writing to memory cannot fail")
}

fn arrays() -> impl Strategy<Value = Idx> {
    let elements = prop_oneof![
        Just(Element::U8),
        Just(Element::I8),
        Just(Element::I16),
        Just(Element::I32),
        Just(Element::F32),
        Just(Element::F64),
    ];
    (elements, vec(0_usize..7, 0..5)).prop_flat_map(|(element, dims)| {
        let length = element.size() * dims.iter().product::<usize>();
        vec(any::<u8>(), length).prop_map(move |data| Idx {
            file: "array".into(),
            element,
            dims: dims.clone(),
            data,
        })
    })
}

/// Bytes that get past the first checks more often than random ones do.
fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let claim = (0_u8..16, vec(any::<u32>(), 0..6), vec(any::<u8>(), 0..64)).prop_map(
        |(element, dims, data)| {
            let mut bytes = vec![0, 0, element, dims.len() as u8];
            bytes.extend(dims.iter().flat_map(|size| size.to_be_bytes()));
            bytes.extend(data);
            bytes
        },
    );
    let damaged = (arrays(), any::<prop::sample::Index>(), any::<u8>(), 0_usize..8).prop_map(
        |(array, position, byte, cut)| {
            let mut bytes = array.to_bytes();
            let position = position.index(bytes.len());
            bytes[position] = byte;
            bytes.truncate(bytes.len().saturating_sub(cut));
            bytes
        },
    );
    let plain = prop_oneof![vec(any::<u8>(), 0..300), claim, damaged].boxed();
    let damaged_gzip = (plain.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(bytes, position, byte)| {
            let mut bytes = gzip(&bytes);
            let position = position.index(bytes.len());
            bytes[position] = byte;
            bytes
        },
    );
    prop_oneof![plain.clone(), plain.prop_map(|bytes| gzip(&bytes)), damaged_gzip]
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(array in arrays()) {
        let bytes = array.to_bytes();
        prop_assert_eq!(&Idx::from_bytes("array", &bytes).unwrap(), &array);
        prop_assert_eq!(&Idx::from_bytes("array", &gzip(&bytes)).unwrap(), &array);
        prop_assert_eq!(&Idx::from_vec("array", bytes).unwrap(), &array);
    }

    #[test]
    fn hostile_bytes_never_panic_and_never_allocate_for_a_claim(bytes in hostile_bytes()) {
        let mut outcome = None;
        let info = measure(|| outcome = Some(Idx::from_bytes("file", &bytes)));
        let decoded = match outcome.expect("the closure has run") {
            Ok(array) => {
                let length: usize = array.dims.iter().product::<usize>() * array.element.size();
                prop_assert_eq!(array.data.len(), length);
                let in_data_set = mnist_pair(array.clone(), array);
                prop_assert!(in_data_set.is_err(), "images cannot be their own labels");
                length
            }
            Err(error) => {
                prop_assert!(error.to_string().starts_with("file cannot be used: "));
                0
            }
        };
        let fair = 10 * bytes.len() as u64 + 2 * decoded as u64 + FIXED_ALLOWANCE;
        prop_assert!(info.bytes_max <= fair, "{} bytes for {}", info.bytes_max, bytes.len());
    }
}

#[test]
fn a_megabyte_of_gzip_that_claims_a_gigabyte_gets_no_gigabyte() {
    // A claim that the compressed size does not refute, followed by noise that bears out none of it.
    let mut bytes = vec![0, 0, 8, 1, 0x3f, 0, 0, 0];
    let mut state = 1_u32;
    bytes.extend((0..1_100_000).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    }));
    let bytes = gzip(&bytes);
    let info = measure(|| match Idx::from_bytes("file", &bytes) {
        Err(Error::Idx { problem: IdxProblem::Truncated { found: 1_100_000, .. }, .. }) => {}
        other => panic!("{:?}", other.map(|array| array.dims)),
    });
    assert!(info.bytes_max < 10 * bytes.len() as u64 + FIXED_ALLOWANCE, "{info:?}");
}

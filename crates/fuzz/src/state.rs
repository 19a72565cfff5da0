//! What holds for every state dict that was read.

use std::fmt::Debug;

use ferrotape_backend::{Array, Device, Error, ErrorKind};
use ferrotape_nn::StateDict;

use crate::memory::bounded;
use crate::place::said;
use crate::verdict::{fastest, reference};

/// Reads a file, which may hold so many bytes besides those of [`bounded`], on two devices; and writes it and
/// reads it again, which changes nothing.
pub(crate) fn read(bytes: &[u8], besides: usize) -> Option<StateDict> {
    let device = reference();
    let other = StateDict::from_bytes(&fastest(), bytes);
    match (bounded(bytes, besides, || StateDict::from_bytes(&device, bytes)), other) {
        (Ok(dict), Ok(other)) => {
            compare(&dict, &other, numbers);
            is_stable(&device, &dict);
            is_stable(&fastest(), &other);
            Some(dict)
        }
        (Err(error), Err(other)) => {
            said(&error);
            said(&other);
            // Of several arrays that are damaged either may be the one that is named.
            assert!(is_limit(&error) || error.kind() == other.kind(), "{error} {other}");
            None
        }
        (Err(error), Ok(dict)) if is_limit(&error) => {
            said(&error);
            is_stable(&fastest(), &dict);
            Some(dict)
        }
        (one, other) => panic!("{:?} and {:?}", one.map(|_| ()), other.map(|_| ())),
    }
}

/// Whether it is one that the reference alone has: it keeps numbers in f64, and so no integers beyond 2^53.
fn is_limit(error: &Error) -> bool {
    error.kind() == ErrorKind::Unsupported
}

/// What is written and read again is the same.
fn is_stable(device: &Device, dict: &StateDict) {
    let written = dict.to_bytes().expect("what was read can be written");
    let again = StateDict::from_bytes(device, &written).expect("what was written can be read");
    same(dict, &again);
}

/// Two state dicts are equal to the bit; their order is that of their files.
pub(crate) fn same(one: &StateDict, other: &StateDict) {
    compare(one, other, elements);
}

fn compare<T: PartialEq + Debug>(one: &StateDict, other: &StateDict, of: fn(&Array) -> T) {
    let [mut names, mut others]: [Vec<&str>; 2] = [one, other].map(|dict| dict.names().collect());
    names.sort_unstable();
    others.sort_unstable();
    assert_eq!(names, others);
    for (name, array) in one.iter() {
        let found = other.get(name).expect("the names are equal");
        assert_eq!((array.dtype(), array.shape()), (found.dtype(), found.shape()), "{name}");
        assert_eq!(of(array), of(found), "{name}");
    }
}

fn elements(array: &Array) -> Vec<u8> {
    let mut bytes = vec![0; array.bytes()];
    array.device().backend().download(array, &mut bytes).expect("an array that was read is whole");
    bytes
}

/// The elements as numbers; nothing where one is none, of which the reference keeps no more than that.
fn numbers(array: &Array) -> Vec<Option<f64>> {
    let numbers = array.to_f64_vec().expect("an array that was read is whole");
    numbers.into_iter().map(|number| (!number.is_nan()).then_some(number)).collect()
}

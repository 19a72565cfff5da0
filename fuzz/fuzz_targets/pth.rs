//! State dicts from bytes from anywhere: safetensors, and both formats of `torch.save`.
//!
//! If the first byte is odd, the rest is the pickle of a file of the older format, where no checksum
//! stands between the fuzzer and the reader; otherwise it is a whole file.

#![no_main]

use ferrotape_backend::{Device, reference::Reference};
use ferrotape_nn::StateDict;
use libfuzzer_sys::fuzz_target;

/// What stands before the contents in the older format: magic number, version, byte order.
const BEFORE: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\
    \x80\x02M\xe9\x03.\x80\x02}U\x0dlittle_endian\x88s.";

/// What stands after them: one storage, "0", of 64 bytes.
fn after() -> Vec<u8> {
    [b"\x80\x02]U\x010a.".as_slice(), &16u64.to_le_bytes(), &[0; 64]].concat()
}

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let device = Device::new(Reference::new());
    let read = match first % 2 {
        1 => StateDict::from_bytes(&device, &[BEFORE, rest, &after()].concat()),
        _ => StateDict::from_bytes(&device, rest),
    };
    let Ok(dict) = read else { return };
    let bytes = dict.to_bytes().expect("what was read can be written");
    let again = StateDict::from_bytes(&device, &bytes).expect("what was written can be read");
    assert_eq!(again.len(), dict.len());
    for (name, array) in dict.iter() {
        let found = again.get(name).expect("every name was written");
        assert_eq!((found.dtype(), found.shape()), (array.dtype(), array.shape()));
    }
});

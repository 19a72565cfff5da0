//! State dicts in safetensors files.

use ferrotape_nn::StateDict;

use crate::place::said;
use crate::state;

/// Where the first byte is odd, the header is the text up to a zero and the elements are what follows; else
/// all after it is a file.
pub fn safetensors(bytes: &[u8]) {
    let Some((&kind, rest)) = bytes.split_first() else { return };
    let file = if kind & 1 == 1 { assembled(rest) } else { rest.to_vec() };
    let dict = state::read(&file, 0);
    match StateDict::note(&file) {
        Ok(Some(note)) => {
            let Some(dict) = dict else { return };
            let written = dict.to_bytes_with_note(&note).expect("what was read can be written");
            let again = StateDict::note(&written).expect("what was written can be read");
            assert_eq!(again, Some(note));
        }
        Ok(None) => {}
        Err(error) => said(&error),
    }
}

/// A file whose header has the right length.
pub(crate) fn assembled(bytes: &[u8]) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let elements = bytes.get(end + 1..).unwrap_or_default();
    [(end as u64).to_le_bytes().as_slice(), &bytes[..end], elements].concat()
}

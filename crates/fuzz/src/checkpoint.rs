//! Checkpoints, and the position in their headers.

use ferrotape_nn::StateDict;
use ferrotape_train::Checkpoint;

use crate::memory::bounded;
use crate::place::said;
use crate::safetensors::assembled;
use crate::state;
use crate::verdict::reference;

/// The first byte says what the rest is: a file, a file whose header has no length, or the position of a file
/// that is right otherwise.
pub fn checkpoint(bytes: &[u8]) {
    let Some((&kind, rest)) = bytes.split_first() else { return };
    let file = match kind % 3 {
        0 => rest.to_vec(),
        1 => assembled(rest),
        _ => {
            let Ok(position) = std::str::from_utf8(rest) else { return };
            let written = StateDict::new().to_bytes_with_note(position);
            written.expect("any text can be a note")
        }
    };
    let device = reference();
    match bounded(&file, 0, || Checkpoint::from_bytes(&device, &file)) {
        Ok(checkpoint) => {
            let written = checkpoint.to_bytes().expect("what was read can be written");
            let again = Checkpoint::from_bytes(&device, &written);
            let again = again.expect("what was written can be read");
            assert_eq!(again.position, checkpoint.position);
            state::same(&again.arrays, &checkpoint.arrays);
        }
        Err(error) => said(&error),
    }
}

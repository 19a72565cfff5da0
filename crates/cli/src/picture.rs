//! Pictures of any size and colour, made into what a model was trained on.

use std::path::Path;

use ferrotape::data::{FloatImage, Picture};

use crate::error::Result;

/// Reads a picture for a model that was trained on digits, as [`Picture::digit`] has it.
pub(crate) fn read_digit(path: &Path, shape: [usize; 3]) -> Result<FloatImage> {
    Ok(FloatImage::from_bytes(&Picture::read(path)?.digit(shape)?))
}

/// Reads a picture as those of a folder of classes are read for a model.
pub(crate) fn read(path: &Path, shape: [usize; 3]) -> Result<FloatImage> {
    Ok(FloatImage::from_bytes(&Picture::read(path)?.fit(shape)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_is_none_is_an_error_that_names_it() {
        let file = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
        std::fs::write(file.path(), b"not a picture").unwrap();
        let error = read_digit(file.path(), [1, 28, 28]).unwrap_err().to_string();
        assert!(error.contains("no picture") && error.contains(".png"), "{error}");
    }
}

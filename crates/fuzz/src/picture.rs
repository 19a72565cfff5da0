//! Pictures, as a folder of images reads them.

use ferrotape_data::Picture;
use image::RgbImage;

use crate::place::{Place, said};

/// Larger pictures are read and not looked at further: it would take too long.
const MOST_PIXELS: usize = 1 << 18;

/// The bytes are a file.
pub fn picture(bytes: &[u8]) {
    let place = Place::new();
    let picture = match Picture::read(place.write("picture", bytes)) {
        Ok(picture) => picture,
        Err(error) => return said(&error),
    };
    let [height, width] = picture.size();
    assert!(height > 0 && width > 0 && height <= 20_000 && width <= 20_000);
    if height * width > MOST_PIXELS {
        return;
    }
    for shape in [[1, 28, 28], [3, 32, 32], [3, 72, 64]] {
        let image = picture.fit(shape).expect("a picture fits any size");
        assert_eq!((image.shape(), image.pixels().len()), (shape, shape.iter().product()));
    }
    assert_eq!(picture.grey().shape(), [1, height, width]);
    let digit = picture.digit([1, 28, 28]).expect("any picture can be taken for a digit");
    assert_eq!(digit.shape(), [1, 28, 28]);
    assert!(picture.fit([2, 28, 28]).is_err() && picture.fit([1, 0, 28]).is_err());

    let whole = picture.fit([3, height, width]).expect("a picture fits its own size");
    let again = Picture::read(png(&place, whole.pixels(), [height, width]));
    let again = again.expect("what was written can be read");
    assert_eq!(again.size(), [height, width]);
    let again = again.fit([3, height, width]).expect("a picture fits its own size");
    assert_eq!(again.pixels(), whole.pixels());
}

/// Planes of colours as a PNG.
fn png(place: &Place, planes: &[u8], [height, width]: [usize; 2]) -> std::path::PathBuf {
    let size = height * width;
    let pixels = (0..size).flat_map(|at| [0, 1, 2].map(|colour| planes[colour * size + at]));
    let image = RgbImage::from_raw(width as u32, height as u32, pixels.collect());
    let path = place.path().join("again.png");
    image.expect("there are three bytes a pixel").save(&path).expect("a picture can be written");
    path
}

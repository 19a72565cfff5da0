//! Pictures from files, brought to the size and the colours that a model takes.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{
    DynamicImage, GrayImage, ImageDecoder, ImageError, ImageFormat, ImageReader, ImageResult,
    Limits, RgbImage, Rgba, error::LimitError, error::LimitErrorKind,
};

use crate::dataset::Image;
use crate::error::{Error, Result};

/// The largest side of a picture, in pixels.
const MOST_SIDE: u32 = 20_000;
/// The most pixels of a picture. A file of a few kilobytes can hold any number of them in one colour.
const MOST_PIXELS: u64 = 1 << 26;
/// The most memory that one picture may take while it is decoded, in bytes.
const MOST_BYTES: u64 = 1 << 29;
/// The longest file of a picture, in bytes: no form makes a picture longer than it is when decoded.
const MOST_FILE: u64 = MOST_BYTES;
/// The most memory that a PNG's notes may take, such as a profile of its colours, in bytes.
const MOST_NOTES: u64 = 1 << 26;
/// Models of smaller images than this, in pixels, see a picture up to its edge.
const MARGIN_FROM: u32 = 64;

/// A picture in red, green and blue, as it was in its file.
///
/// Transparent parts show the white paper below, and a photograph is turned as its camera noted
/// (EXIF), which torchvision leaves undone.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("red.png");
/// use ferrotape_data::Picture;
///
/// image::RgbImage::from_pixel(40, 30, image::Rgb([255, 0, 0])).save(&path)?;
/// let picture = Picture::read(&path)?;
/// assert_eq!(picture.size(), [30, 40]);
/// let image = picture.fit([3, 8, 8])?;
/// assert_eq!(image.pixels()[..64], [255; 64]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Picture {
    colours: RgbImage,
}

impl Picture {
    /// Reads a PNG, JPEG, WebP, BMP or GIF, of a moving picture the first frame. The contents tell
    /// the form, not the name.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is damaged or of another form, or has more than 20,000 pixels on a
    /// side or 67 million in all, or the file is longer than 512 MiB.
    ///
    /// ```
    /// let error = ferrotape_data::Picture::read("no/such.png").unwrap_err().to_string();
    /// assert!(error.starts_with("cannot read no/such.png"));
    /// ```
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let unread = |source: io::Error| crate::image_folder::unread(path, source);
        // Opening a named pipe would wait for a writer, so the kind of file is looked at first.
        if !fs::metadata(path).map_err(unread)?.is_file() {
            return Err(Error::unusable(path, "it is no file; name a picture"));
        }
        let file = File::open(path).map_err(unread)?;
        let length = file.metadata().map_err(unread)?.len();
        if length > MOST_FILE {
            return Err(Error::unusable(
                path,
                format!(
                    "the file has {length} bytes, and that of a picture at most {MOST_FILE}; make it \
                     smaller"
                ),
            ));
        }
        // Some decoders read to the end first, and a file may grow meanwhile.
        let mut reader = ImageReader::new(BufReader::new(file.take(MOST_FILE)));
        if let Ok(format) = ImageFormat::from_path(path) {
            reader.set_format(format);
        }
        let reader = reader.with_guessed_format().map_err(unread)?;
        let decoded = decode(reader).map_err(|error| match error {
            ImageError::IoError(source) if is_of_system(&source) => unread(source),
            error => Error::unusable(path, sentence(&error)),
        })?;
        Ok(Self { colours: over_white(decoded) })
    }

    /// The height and the width in pixels.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("grey.png");
    /// # image::GrayImage::new(4, 3).save(&path)?;
    /// assert_eq!(ferrotape_data::Picture::read(&path)?.size(), [3, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        let (width, height) = self.colours.dimensions();
        [height as usize, width as usize]
    }

    /// The picture in grey, of the shape `[1, H, W]` and as large as it is: 0.299 R + 0.587 G +
    /// 0.114 B, torchvision's `Grayscale`, rounded as Pillow does.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("green.png");
    /// # image::RgbImage::from_pixel(1, 1, image::Rgb([0, 255, 0])).save(&path)?;
    /// assert_eq!(ferrotape_data::Picture::read(&path)?.grey().pixels(), [150]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn grey(&self) -> Image<'static> {
        let [height, width] = self.size();
        Image::new(luma(&self.colours).into_raw(), [1, height, width])
            .expect("an image of grey pixels has one byte for each")
    }

    /// The picture as an image of the shape `[C, H, W]`, in grey for one channel and in colour for
    /// three.
    ///
    /// A picture of that very size is taken as it is. Any other is scaled, its proportions kept, and
    /// the middle is cut out: torchvision's `Resize` (bilinear, antialiased) and `CenterCrop`. It is
    /// scaled to 8/7 of the image's size, as torchvision's presets do with 256 pixels for 224, and
    /// for images of fewer than 64 pixels on a side to just that size.
    ///
    /// # Errors
    ///
    /// If there are neither one nor three channels, or a side is 0 or above 20,000.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("wide.png");
    /// # image::GrayImage::new(64, 32).save(&path)?;
    /// let picture = ferrotape_data::Picture::read(&path)?;
    /// assert_eq!(picture.fit([1, 28, 28])?.shape(), [1, 28, 28]);
    /// assert!(picture.fit([2, 28, 28]).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fit(&self, shape: [usize; 3]) -> Result<Image<'static>> {
        let [channels, height, width] = shape;
        let side = |size: usize| {
            u32::try_from(size).ok().filter(|side| (1..=MOST_SIDE).contains(side)).ok_or_else(|| {
                Error::Dataset(format!(
                    "pictures cannot be brought to the shape [C, H, W] = {shape:?}; sides go from \
                     1 to {MOST_SIDE}"
                ))
            })
        };
        let (height, width) = (side(height)?, side(width)?);
        let pixels = match channels {
            1 => fit(&luma(&self.colours), height, width).into_raw(),
            3 => planes(&fit(&self.colours, height, width)),
            _ => {
                return Err(Error::Dataset(format!(
                    "pictures are grey or red, green and blue, and a model of {channels} channels \
                     takes neither; choose one of 1 or 3 channels"
                )));
            }
        };
        Image::new(pixels, shape)
    }
}

/// The colours in grey.
pub(crate) fn luma(colours: &RgbImage) -> GrayImage {
    let (width, height) = colours.dimensions();
    let grey = colours.pixels().map(|pixel| {
        let [r, g, b] = pixel.0.map(u32::from);
        // 16 bits of fraction, rounded to nearest: ITU-R BT.601 as Pillow computes it. The
        // weights add up to 2¹⁶, so the result is a byte.
        ((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) as u8
    });
    GrayImage::from_raw(width, height, grey.collect()).expect("there is a byte a pixel")
}

/// Whether an error says nothing about what is in a file.
fn is_of_system(error: &io::Error) -> bool {
    error.raw_os_error().is_some() || error.kind() == io::ErrorKind::OutOfMemory
}

/// What the decoder said, and what to do.
fn sentence(error: &ImageError) -> String {
    match error {
        ImageError::Limits(_) => format!(
            "it is too large: a picture has at most {MOST_SIDE} pixels on a side and {MOST_PIXELS} in \
             all, and takes at most {} MiB when it is decoded; make it smaller",
            MOST_BYTES >> 20
        ),
        _ => {
            format!(
                "this is no picture that can be read ({error}); use PNG, JPEG, WebP, BMP or GIF"
            )
        }
    }
}

fn decode<R: io::BufRead + io::Seek>(mut reader: ImageReader<R>) -> ImageResult<DynamicImage> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_SIDE);
    limits.max_image_height = Some(MOST_SIDE);
    // What is read before the pixels has a limit of its own, which only PNG's decoder heeds: a profile
    // or text of some kilobytes can hold any number of bytes.
    limits.max_alloc = Some(MOST_NOTES);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    limits.max_alloc = Some(MOST_BYTES);
    decoder.set_limits(limits.clone())?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        let kind = LimitErrorKind::DimensionError;
        return Err(ImageError::Limits(LimitError::from_kind(kind)));
    }
    limits.reserve(decoder.total_bytes())?;
    let orientation = decoder.orientation()?;
    if orientation != Orientation::NoTransforms {
        // The picture as it is and the picture turned are there at the same time.
        limits.reserve(decoder.total_bytes())?;
    }
    let mut decoded = DynamicImage::from_decoder(decoder)?;
    decoded.apply_orientation(orientation);
    Ok(decoded)
}

/// Transparent parts shine through to white paper.
fn over_white(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let mut rgba = picture.into_rgba8();
    for Rgba([r, g, b, a]) in rgba.pixels_mut() {
        for channel in [r, g, b] {
            let mixed = u32::from(*channel) * u32::from(*a) + 255 * (255 - u32::from(*a));
            *channel = (mixed / 255) as u8;
        }
        *a = 255;
    }
    DynamicImage::ImageRgba8(rgba).into_rgb8()
}

/// Scales and cuts out the middle.
fn fit<P>(
    picture: &image::ImageBuffer<P, Vec<u8>>,
    height: u32,
    width: u32,
) -> image::ImageBuffer<P, Vec<u8>>
where
    P: image::Pixel<Subpixel = u8> + 'static,
{
    if picture.dimensions() == (width, height) {
        return picture.clone();
    }
    let margin = |side: u32| {
        if height.min(width) < MARGIN_FROM { side } else { (side * 8).div_ceil(7) }
    };
    cover(picture, [margin(height), margin(width)], [height, width])
}

/// Scales a picture until it covers a size and no more, and cuts `height` and `width` out of the middle,
/// which must not be larger than that size.
pub(crate) fn cover<P>(
    picture: &image::ImageBuffer<P, Vec<u8>>,
    size: [u32; 2],
    [height, width]: [u32; 2],
) -> image::ImageBuffer<P, Vec<u8>>
where
    P: image::Pixel<Subpixel = u8> + 'static,
{
    let (w, h) = picture.dimensions();
    if [h, w] == size {
        return middle(picture, height, width);
    }
    // What a scale would blow up to a band of millions of pixels is cut down to its middle first.
    let (most_w, most_h) = (h.saturating_mul(8), w.saturating_mul(8));
    if w > most_w || h > most_h {
        let (w, h) = (w.min(most_w), h.min(most_h));
        return cover(&middle(picture, h, w), size, [height, width]);
    }
    let [cover_h, cover_w] = size.map(u64::from);
    let (w, h) = (u64::from(w), u64::from(h));
    // The side that has the least to spare gets its size exactly, the other one more.
    let (w, h) = if h * cover_w <= w * cover_h {
        (w * cover_h / h, cover_h)
    } else {
        (cover_w, h * cover_w / w)
    };
    // The sides of the picture differ by a factor of 8 at most, and those of a cover are small.
    let scaled = imageops::resize(picture, w as u32, h as u32, FilterType::Triangle);
    middle(&scaled, height, width)
}

/// The middle of a picture that is at least as large.
fn middle<P>(
    picture: &image::ImageBuffer<P, Vec<u8>>,
    height: u32,
    width: u32,
) -> image::ImageBuffer<P, Vec<u8>>
where
    P: image::Pixel<Subpixel = u8> + 'static,
{
    // Half a pixel is rounded to the even neighbour, as Python rounds in torchvision's CenterCrop.
    let half = |spare: u32| spare / 2 + (spare % 4 == 3) as u32;
    let (w, h) = picture.dimensions();
    let (left, top) = (half(w - width), half(h - height));
    imageops::crop_imm(picture, left, top, width, height).to_image()
}

/// Channel by channel, as images are kept here, instead of pixel by pixel.
pub(crate) fn planes(picture: &RgbImage) -> Vec<u8> {
    (0..3).flat_map(|channel| picture.pixels().map(move |pixel| pixel.0[channel])).collect()
}

#[cfg(test)]
mod tests {
    use image::{ImageBuffer, Luma, Rgb, RgbaImage};

    use super::*;

    fn saved(picture: &DynamicImage) -> Picture {
        let file = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
        picture.save(file.path()).unwrap();
        Picture::read(file.path()).unwrap()
    }

    #[test]
    fn the_middle_is_cut_out_at_eight_sevenths_of_the_size() {
        // A ramp from left to right, which scaling keeps a ramp.
        let ramp = GrayImage::from_fn(512, 256, |x, _| Luma([(x / 2) as u8]));
        let image = saved(&ramp.into()).fit([1, 224, 224]).unwrap();
        let row = &image.pixels()[100 * 224..101 * 224];
        // The scale is 1, so columns (512 - 224) / 2 = 144 to 367 are left.
        let expected: Vec<u8> = (144..368).map(|x| (x / 2) as u8).collect();
        assert_eq!(row, expected);
    }

    #[test]
    fn small_models_see_a_picture_up_to_its_edge() {
        let frame = GrayImage::from_fn(64, 64, |x, y| {
            Luma([if x < 2 || y < 2 || x > 61 || y > 61 { 255 } else { 0 }])
        });
        let image = saved(&frame.into()).fit([1, 32, 32]).unwrap();
        assert!(image.pixels()[..32].iter().all(|&pixel| pixel > 180), "{:?}", image.pixels());
        assert_eq!(image.pixels()[5 * 32 + 5], 0);
    }

    #[test]
    fn channels_stand_one_after_the_other() {
        let picture = RgbImage::from_fn(2, 1, |x, _| Rgb([x as u8, 10 + x as u8, 20 + x as u8]));
        let image = saved(&picture.into()).fit([3, 1, 2]).unwrap();
        assert_eq!(image.pixels(), [0, 1, 10, 11, 20, 21]);
    }

    #[test]
    fn transparent_parts_are_white() {
        let picture =
            RgbaImage::from_fn(2, 1, |x, _| Rgba([0, 100, 0, if x == 0 { 0 } else { 255 }]));
        let image = saved(&picture.into()).fit([3, 1, 2]).unwrap();
        assert_eq!(image.pixels(), [255, 0, 255, 100, 255, 0]);
    }

    #[test]
    fn every_size_and_proportion_fits() {
        for (w, h) in [(1, 1), (1, 3000), (3000, 1), (13, 200), (255, 256), (29, 28), (28, 27)] {
            for side in [1, 7, 28, 65] {
                let picture: GrayImage = ImageBuffer::from_pixel(w, h, Luma([77]));
                let image = saved(&picture.into()).fit([1, side, side + 3]).unwrap();
                assert!(image.pixels().iter().all(|&p| p == 77), "{w} x {h} to {side}");
            }
        }
    }

    #[test]
    fn a_torn_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("torn.png");
        GrayImage::new(28, 28).save(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for bytes in [&whole[..40], b"", b"not a picture"] {
            fs::write(&path, bytes).unwrap();
            let error = Picture::read(&path).unwrap_err().to_string();
            assert!(error.contains("torn.png: this is no picture"), "{error}");
        }
        let error = Picture::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("it is no file"), "{error}");
    }

    #[test]
    fn a_file_that_is_longer_than_any_picture_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.jpg");
        // The beginning of a JPEG, and a hole that takes no room on the disk.
        fs::write(&path, [0xff, 0xd8]).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(MOST_FILE + 1).unwrap();
        let error = Picture::read(&path).unwrap_err().to_string();
        let expected =
            "long.jpg: the file has 536870913 bytes, and that of a picture at most 536870912";
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_small_file_of_many_pixels_is_refused_before_they_are_decoded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flat.png");
        // 81 million pixels in one colour are 80 kB.
        GrayImage::new(9000, 9000).save(&path).unwrap();
        let error = Picture::read(&path).unwrap_err().to_string();
        assert!(error.contains("flat.png: it is too large"), "{error}");
    }
}

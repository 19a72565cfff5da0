//! Filters and images as pictures inside the page.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::html::escape;
use super::{FilterBank, LookPicture, MistakePicture, ReportData};
use crate::format::{percent, setting};
use crate::insight::{FeatureMaps, Picture};
use crate::{Error, Result};

/// Colours of the weights' scale, as the style's `--negative` and `--positive` have them.
const NEGATIVE: [u8; 3] = [37, 99, 235];
const POSITIVE: [u8; 3] = [234, 88, 12];

/// More filters than this say nothing to the eye and make the page large.
const MOST_OUT: usize = 64;
const MOST_INPUTS: usize = 16;

/// The most feature maps that are shown, and the longest side of their picture.
const MOST_MAPS: usize = 36;
const WIDEST_SHEET: usize = 720;

/// The filters of a layer: a picture an output channel, its input channels as tiles.
///
/// A weight's sign is the colour and its size the opacity, so that 0 is the page's own background
/// in the light and in the dark theme.
pub(super) fn filters(bank: &FilterBank) -> Result<String> {
    let FilterBank { out, inputs, height, width, .. } = *bank;
    let shape = [out, inputs, height, width];
    let name = || format!("the filters of {}", bank.layer);
    check(bank.values.len(), &shape, name)?;
    if bank.values.is_empty() {
        return Ok(String::new());
    }
    let finite = || bank.values.iter().copied().filter(|value| value.is_finite());
    let most = finite().fold(0f32, |most, value| most.max(value.abs()));

    let shown_inputs = inputs.min(MOST_INPUTS);
    // As near a square as the tiles allow, wider rather than higher.
    let across = (1..=shown_inputs).find(|n| n * n >= shown_inputs).unwrap_or(1);
    let down = shown_inputs.div_ceil(across);
    let (wide, high) = (across * (width + 1) - 1, down * (height + 1) - 1);
    // Whole multiples keep every weight the same square; about 80 pixels are well seen.
    let zoom = (80 / wide.max(high)).clamp(2, 14);

    let mut html = format!(
        "<div class=\"bank\"><h3>{}</h3><p class=\"note\">{out} filters of {inputs} × {height} × {width}",
        escape(&bank.layer)
    );
    if out > MOST_OUT || inputs > MOST_INPUTS {
        let _ = write!(
            html,
            "; shown are the first {} with their first {shown_inputs} input channels",
            out.min(MOST_OUT)
        );
    } else if inputs > 1 {
        html += "; a tile is an input channel";
    }
    let limit = short(most);
    let _ = write!(
        html,
        "</p><div class=\"scale\"><span>−{limit}</span><span class=\"ramp\" role=\"img\" \
         aria-label=\"Colour scale: blue below zero, orange above\"></span><span>+{limit}</span></div>\
         <ul class=\"tiles\">"
    );
    for (number, filter) in
        bank.values.chunks_exact(inputs * height * width).enumerate().take(MOST_OUT)
    {
        let mut pixels = vec![0u8; wide * high * 4];
        for (tile, plane) in filter.chunks_exact(height * width).enumerate().take(shown_inputs) {
            let (top, left) = (tile / across * (height + 1), tile % across * (width + 1));
            for (i, &weight) in plane.iter().enumerate() {
                let at = ((top + i / width) * wide + left + i % width) * 4;
                pixels[at..at + 4].copy_from_slice(&colour(weight, most));
            }
        }
        let (least, most) = filter.iter().fold((f32::MAX, f32::MIN), |(least, most), &value| {
            (least.min(value), most.max(value))
        });
        let _ = write!(
            html,
            "<li><img src=\"{}\" width=\"{}\" height=\"{}\" alt=\"Filter {} of {}: weights from {} to {}\"></li>",
            data_uri(&pixels, wide, high, png::ColorType::Rgba)?,
            wide * zoom,
            high * zoom,
            number + 1,
            escape(&bank.layer),
            short(least),
            short(most),
        );
    }
    Ok(html + "</ul></div>")
}

/// A picture as a file.
pub(crate) struct Sheet {
    pub(crate) png: Vec<u8>,
    /// Height, width and channels.
    pub(crate) size: [usize; 3],
}

/// The first input channel of a layer's filters, side by side on white.
pub(crate) fn filter_sheet(bank: &FilterBank) -> Result<Sheet> {
    let FilterBank { out, inputs, height, width, .. } = *bank;
    check(bank.values.len(), &[out, inputs, height, width], || bank.layer.clone())?;
    let finite = bank.values.iter().filter(|value| value.is_finite());
    let most = finite.fold(0f32, |most, value| most.max(value.abs()));
    let shown = out.min(MOST_OUT);
    let across = (1..=shown).find(|n| n * n >= shown).unwrap_or(1);
    // Weights are squares of eight pixels, with one of their size between two filters.
    const SQUARE: usize = 8;
    let (wide, high) = (across * (width + 1), shown.div_ceil(across).max(1) * (height + 1));
    let size = [high * SQUARE, wide * SQUARE, 3];
    let mut pixels = vec![255u8; size.iter().product()];
    let filters = bank.values.chunks_exact((inputs * height * width).max(1)).take(shown);
    for (number, filter) in filters.enumerate() {
        let (top, left) = (number / across * (height + 1), number % across * (width + 1));
        for (i, &weight) in filter[..height * width].iter().enumerate() {
            let [r, g, b, share] = colour(weight, most).map(u32::from);
            let mixed = [r, g, b].map(|c| ((c * share + 255 * (255 - share)) / 255) as u8);
            for y in 0..SQUARE {
                for x in 0..SQUARE {
                    let row = (top + i / width) * SQUARE + y;
                    let at = (row * size[1] + (left + i % width) * SQUARE + x) * 3;
                    pixels[at..at + 3].copy_from_slice(&mixed);
                }
            }
        }
    }
    let png = encoded(&pixels, size[1], size[0], png::ColorType::Rgb)?;
    Ok(Sheet { png, size })
}

/// A weight to two significant digits, which is what the eye tells apart.
fn short(weight: f32) -> String {
    setting(format!("{weight:.1e}").parse().unwrap_or(f64::from(weight)))
}

/// Sign as colour, size as opacity; what is no number is black.
fn colour(weight: f32, most: f32) -> [u8; 4] {
    if !weight.is_finite() {
        return [0, 0, 0, 255];
    }
    let [r, g, b] = if weight < 0.0 { NEGATIVE } else { POSITIVE };
    let share = if most > 0.0 { weight.abs() / most } else { 0.0 };
    [r, g, b, (share * 255.0).round() as u8]
}

/// A mistake: the picture, what it is and what it was taken for.
pub(super) fn mistake(data: &ReportData, picture: &MistakePicture) -> Result<String> {
    let MistakePicture { index, channels, height, width, .. } = *picture;
    let name = || format!("test image {index}");
    check(picture.pixels.len(), &[channels, height, width], name)?;
    if picture.pixels.is_empty() {
        return Err(Error::Figures(format!("{} has no pixels; leave it out", name())));
    }
    let area = height * width;
    let (pixels, kind) = match channels {
        1 => (picture.pixels.clone(), png::ColorType::Grayscale),
        3 => {
            let interleaved =
                (0..area).flat_map(|i| [0, 1, 2].map(|c| picture.pixels[c * area + i]));
            (interleaved.collect(), png::ColorType::Rgb)
        }
        _ => {
            return Err(Error::Figures(format!(
                "{} has {channels} channels and cannot be drawn; give 1 for grey or 3 for colour",
                name()
            )));
        }
    };
    let (truth, said) =
        (escape(&data.class(picture.truth)), escape(&data.class(picture.predicted)));
    let sure = percent(f64::from(picture.probability));
    // Small images are enlarged with hard edges, large ones are reduced as photographs are.
    let class = if width.max(height) <= 64 { " class=\"pixels\"" } else { "" };
    Ok(format!(
        "<li><figure><img{class} src=\"{}\" alt=\"Test image {index}: {truth}, taken for {said}\">\
         <figcaption><span class=\"said\"><b>{said}</b> {sure}</span>\
         <span class=\"truth\">is <b>{truth}</b></span>\
         <span class=\"index\">№ {index}</span></figcaption></figure></li>",
        data_uri(&pixels, width, height, kind)?
    ))
}

/// A test image with saliency and Grad-CAM beside it.
pub(super) fn look(data: &ReportData, look: &LookPicture) -> Result<String> {
    let (truth, said) = (escape(&data.class(look.truth)), escape(&data.class(look.predicted)));
    let sure = percent(f64::from(look.probability));
    let index = look.index;
    let verdict = if look.truth == look.predicted {
        format!("<b>{truth}</b>, said with {sure}")
    } else {
        format!("<b>{truth}</b>, taken for <b>{said}</b> with {sure}")
    };
    let mut html = String::from("<li><figure><div class=\"trio\">");
    for (picture, what) in [
        (&look.image, format!("Test image {index}")),
        (&look.saliency, format!("Saliency of {said} in test image {index}")),
        (&look.grad_cam, format!("Grad-CAM of {said} on test image {index}")),
    ] {
        let class = if picture.width.max(picture.height) <= 64 { " class=\"pixels\"" } else { "" };
        let _ = write!(html, "<img{class} src=\"{}\" alt=\"{what}\">", drawn(picture)?);
    }
    let _ = write!(
        html,
        "</div><figcaption>{verdict} <span class=\"index\">№ {index}</span></figcaption></figure></li>"
    );
    Ok(html)
}

/// The maps that a layer makes of an image.
pub(super) fn maps(maps: &FeatureMaps) -> Result<String> {
    check(maps.values.len(), &[maps.channels, maps.height, maps.width], || maps.layer.clone())?;
    let sheet = Picture::maps(maps, MOST_MAPS).reduced(WIDEST_SHEET);
    let zoom = (360 / sheet.width.max(1)).clamp(1, 6);
    let shown = match maps.channels {
        all if all > MOST_MAPS => format!("the first {MOST_MAPS} of {all} maps"),
        all => format!("{all} maps"),
    };
    let layer = escape(&maps.layer);
    Ok(format!(
        "<h3>{layer}</h3><p class=\"note\">What this layer makes of the first image: {shown} of {} × {}, each from \
         its least value, black, to its largest, white.</p><img class=\"maps pixels\" src=\"{}\" width=\"{}\" \
         height=\"{}\" alt=\"Feature maps of {layer}\">",
        maps.height,
        maps.width,
        drawn(&sheet)?,
        sheet.width * zoom,
        sheet.height * zoom,
    ))
}

fn drawn(picture: &Picture) -> Result<String> {
    let shape = [picture.height, picture.width, 3];
    check(picture.pixels.len(), &shape, || "a picture".to_owned())?;
    data_uri(&picture.pixels, picture.width, picture.height, png::ColorType::Rgb)
}

/// A heat map of `side` x `side` shares in `[0, 1]`, for matrices too large for a table.
pub(super) fn heat(shares: &[f64], side: usize, alt: &str) -> Result<String> {
    let pixels: Vec<u8> = shares
        .iter()
        .flat_map(|share| {
            let [r, g, b] = POSITIVE;
            [r, g, b, (share.clamp(0.0, 1.0) * 255.0).round() as u8]
        })
        .collect();
    let uri = data_uri(&pixels, side, side, png::ColorType::Rgba)?;
    Ok(format!("<img class=\"heat pixels\" src=\"{uri}\" alt=\"{}\">", escape(alt)))
}

/// Refuses numbers that are not as many as their shape says.
fn check(values: usize, shape: &[usize], name: impl Fn() -> String) -> Result<()> {
    let expected = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
    if expected == Some(values) {
        return Ok(());
    }
    Err(Error::Figures(format!(
        "{}: {values} values cannot be of shape {shape:?}; give as many as the shape says",
        name()
    )))
}

/// A PNG of 8 bits a channel, inside the page.
fn data_uri(pixels: &[u8], width: usize, height: usize, kind: png::ColorType) -> Result<String> {
    let file = encoded(pixels, width, height, kind)?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(file)))
}

/// A PNG of 8 bits a channel.
pub(crate) fn encoded(
    pixels: &[u8],
    width: usize,
    height: usize,
    kind: png::ColorType,
) -> Result<Vec<u8>> {
    let failed = |e: &dyn std::fmt::Display| {
        Error::Figures(format!("a picture of {width} x {height} cannot be drawn: {e}"))
    };
    let side = |side: usize| u32::try_from(side).map_err(|e| failed(&e));
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side(width)?, side(height)?);
    encoder.set_color(kind);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Best);
    let mut writer = encoder.write_header().map_err(|e| failed(&e))?;
    writer.write_image_data(pixels).map_err(|e| failed(&e))?;
    writer.finish().map_err(|e| failed(&e))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pixels of the first picture in a piece of a page.
    fn decode(html: &str) -> (Vec<u8>, u32, u32) {
        let base64 = html.split("base64,").nth(1).unwrap().split('"').next().unwrap();
        let file = STANDARD.decode(base64).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (pixels, info.width, info.height)
    }

    #[test]
    fn a_colour_image_is_drawn_pixel_by_pixel() {
        let picture = MistakePicture {
            index: 0,
            channels: 3,
            height: 1,
            width: 2,
            pixels: vec![1, 2, 30, 40, 200, 210],
            truth: 0,
            predicted: 1,
            probability: 0.5,
        };
        let html = mistake(&ReportData::default(), &picture).unwrap();
        assert_eq!(decode(&html), (vec![1, 30, 200, 2, 40, 210], 2, 1));
    }

    #[test]
    fn filters_lie_as_tiles_with_a_clear_line_between() {
        let bank = FilterBank {
            layer: "conv".into(),
            out: 1,
            inputs: 2,
            height: 1,
            width: 1,
            values: vec![-2.0, 1.0],
        };
        let (pixels, wide, high) = decode(&filters(&bank).unwrap());
        assert_eq!((wide, high), (3, 1));
        let [r, g, b] = NEGATIVE;
        assert_eq!(pixels[..4], [r, g, b, 255]);
        assert_eq!(pixels[4..8], [0, 0, 0, 0]);
        let [r, g, b] = POSITIVE;
        assert_eq!(pixels[8..], [r, g, b, 128]);
    }

    #[test]
    fn filters_that_are_all_zero_are_clear() {
        assert_eq!(colour(0.0, 0.0)[3], 0);
        assert_eq!(colour(f32::NAN, 1.0), [0, 0, 0, 255]);
    }

    #[test]
    fn a_wide_layer_is_cut_and_says_so() {
        let (out, inputs) = (70, 20);
        let values = vec![0.5; out * inputs];
        let bank = FilterBank { layer: "wide".into(), out, inputs, height: 1, width: 1, values };
        let html = filters(&bank).unwrap();
        assert_eq!(html.matches("<img").count(), 64);
        assert!(html.contains("the first 64 with their first 16 input channels"));
    }
}

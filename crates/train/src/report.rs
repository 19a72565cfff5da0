//! A run as one HTML page that needs nothing but a browser: no network, no other file, no script.
//!
//! The page is built from a [`ReportData`], plain host values, by [`render`]. Curves are inline SVG
//! coloured by the page's style, so they follow the reader's light or dark theme; pictures are PNG
//! data URIs. A content security policy in the page forbids every fetch.

mod chart;
mod compare;
mod confusion;
mod html;
mod pictures;
mod sections;

pub use compare::{Compared, compare};
pub(crate) use pictures::{encoded, filter_sheet};

use crate::insight::{FeatureMaps, Picture};
use crate::metrics::Confusion;
use crate::{EpochRecord, FinalRecord, Result, RunConfig};

/// All that a report shows.
///
/// A part that is empty is left out of the page, so a report can be drawn from any run.
///
/// ```
/// use ferrotape_train::report::{ReportData, render};
///
/// let data = ReportData { run: "lenet5-1".into(), ..Default::default() };
/// let page = render(&data)?;
/// assert!(page.starts_with("<!doctype html>") && page.contains("lenet5-1"));
/// # Ok::<(), ferrotape_train::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct ReportData {
    /// Name of the run, usually its folder's.
    pub run: String,
    /// The model's name and the figures of the run; `seconds` are those so far.
    pub result: FinalRecord,
    /// The effective configuration.
    pub config: RunConfig,
    /// Where the run ran.
    pub environment: Environment,
    /// The layers of the model, in the order of the forward pass.
    pub layers: Vec<LayerRow>,
    /// The epochs, in order.
    pub epochs: Vec<EpochRecord>,
    /// The test images, counted by truth and prediction.
    pub confusion: Option<Confusion>,
    /// Names of the classes; one that has none is called by its number.
    pub class_names: Vec<String>,
    /// Weights to draw, one entry a layer.
    pub filters: Vec<FilterBank>,
    /// Test images that were taken for something else, worst first.
    pub mistakes: Vec<MistakePicture>,
    /// What the model looks at in some test images.
    pub looks: Vec<LookPicture>,
    /// What a layer makes of the first of these.
    pub maps: Option<FeatureMaps>,
}

impl ReportData {
    /// What to call a class.
    fn class(&self, class: usize) -> String {
        self.class_names.get(class).cloned().unwrap_or_else(|| class.to_string())
    }
}

/// Where a run ran: it explains the speed and, with the configuration, lets the run be repeated.
///
/// ```
/// use ferrotape_train::report::Environment;
///
/// let here = Environment { threads: 2, device: "cpu".into(), ..Default::default() };
/// assert!(!here.version.is_empty());
/// ```
#[derive(Debug, Clone)]
pub struct Environment {
    /// The processor, by name, with the instruction sets that were used.
    pub cpu: String,
    /// Threads that computed.
    pub threads: usize,
    /// The device: `cpu`, `cuda:0` and so on.
    pub device: String,
    /// The type computed in: `f32`, `bf16` and so on.
    pub dtype: String,
    /// The version of ferrotape.
    pub version: String,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            cpu: String::new(),
            threads: 0,
            device: String::new(),
            dtype: String::new(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

/// A layer in the table of the model.
///
/// ```
/// use ferrotape_train::report::LayerRow;
///
/// let conv = LayerRow { name: "conv1".into(), output: vec![6, 28, 28], ..Default::default() };
/// assert_eq!(conv.output.iter().product::<usize>(), 4704);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerRow {
    /// The layer's path: `layer3.0.conv1`.
    pub name: String,
    /// What it is: `Conv2d 5x5`.
    pub kind: String,
    /// Shape of the output for one image, without the batch.
    pub output: Vec<usize>,
    /// Trainable numbers.
    pub parameters: u64,
    /// Multiply-adds for one image.
    pub multiply_adds: u64,
    /// Bytes of the output for one image.
    pub activation_bytes: u64,
    /// Side, in pixels of the image, of the square that one output sees; `None` where it sees all.
    pub receptive_field: Option<usize>,
}

/// The weights of a convolution, `[out, inputs, height, width]` in row-major order.
///
/// ```
/// use ferrotape_train::report::FilterBank;
///
/// let bank = FilterBank {
///     layer: "conv1".into(),
///     out: 1,
///     inputs: 1,
///     height: 2,
///     width: 2,
///     values: vec![0.5, -0.5, 0.25, 0.0],
/// };
/// assert_eq!(bank.values.len(), bank.out * bank.inputs * bank.height * bank.width);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FilterBank {
    /// The layer's path.
    pub layer: String,
    /// Output channels.
    pub out: usize,
    /// Input channels of a filter.
    pub inputs: usize,
    /// Rows of a filter.
    pub height: usize,
    /// Columns of a filter.
    pub width: usize,
    /// The weights.
    pub values: Vec<f32>,
}

/// A test image that was taken for something else.
///
/// ```
/// use ferrotape_train::report::MistakePicture;
///
/// let four = MistakePicture {
///     index: 247,
///     channels: 1,
///     height: 28,
///     width: 28,
///     pixels: vec![0; 28 * 28],
///     truth: 4,
///     predicted: 9,
///     probability: 0.983,
/// };
/// assert_ne!(four.truth, four.predicted);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MistakePicture {
    /// Which image of the test set, counted from 0.
    pub index: usize,
    /// 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
    /// `[channels, height, width]` in row-major order, 0 is dark.
    pub pixels: Vec<u8>,
    /// The class that it is.
    pub truth: usize,
    /// The class that it was taken for.
    pub predicted: usize,
    /// The probability that the model gave to `predicted`, in `[0, 1]`.
    pub probability: f32,
}

/// A test image and what the model looks at in it.
///
/// ```
/// use ferrotape_train::insight::Picture;
/// use ferrotape_train::report::LookPicture;
///
/// let grey = Picture::of(&[128; 4], [1, 2, 2])?;
/// let look = LookPicture {
///     index: 247,
///     truth: 4,
///     predicted: 9,
///     probability: 0.983,
///     layer: "pool2".into(),
///     image: grey.clone(),
///     saliency: grey.clone(),
///     grad_cam: grey,
/// };
/// assert_ne!(look.truth, look.predicted);
/// # Ok::<(), ferrotape_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LookPicture {
    /// Which image of the test set, counted from 0.
    pub index: usize,
    /// The class that it is.
    pub truth: usize,
    /// The class that it was taken for, which the pictures are about.
    pub predicted: usize,
    /// The probability that the model gave to `predicted`, in `[0, 1]`.
    pub probability: f32,
    /// The layer of Grad-CAM.
    pub layer: String,
    /// The image.
    pub image: Picture,
    /// The size of the gradient in each pixel.
    pub saliency: Picture,
    /// Grad-CAM over the image.
    pub grad_cam: Picture,
}

/// Draws the page.
///
/// The same data give the same page, byte for byte. All text from the data is escaped.
///
/// # Errors
///
/// If a picture's or a filter's numbers are not as many as its shape says, or a picture is neither
/// grey nor in colour.
///
/// ```
/// use ferrotape_train::report::{MistakePicture, ReportData, render};
///
/// let torn = MistakePicture {
///     index: 3,
///     channels: 1,
///     height: 28,
///     width: 28,
///     pixels: vec![0; 5],
///     truth: 4,
///     predicted: 9,
///     probability: 0.9,
/// };
/// let error = render(&ReportData { mistakes: vec![torn], ..Default::default() }).unwrap_err();
/// assert!(error.to_string().contains("5 values cannot be"));
/// ```
pub fn render(data: &ReportData) -> Result<String> {
    sections::page(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small run with everything that a report can show, and names that want to be markup.
    fn everything() -> ReportData {
        let hostile = "<script>alert('\"&\")</script>";
        let mut confusion = Confusion::new(3);
        for (truth, predicted) in [(0, 0), (0, 1), (1, 1), (2, 2), (2, 0)] {
            confusion.add(truth, predicted).unwrap();
        }
        ReportData {
            run: hostile.into(),
            result: FinalRecord { model: hostile.into(), test_accuracy: 0.6, ..Default::default() },
            config: RunConfig { model: hostile.into(), data: hostile.into(), ..Default::default() },
            environment: Environment { cpu: hostile.into(), threads: 2, ..Default::default() },
            layers: vec![LayerRow {
                name: hostile.into(),
                kind: hostile.into(),
                ..Default::default()
            }],
            epochs: (1..=3)
                .map(|epoch| EpochRecord {
                    epoch,
                    train_loss: 1.0 / epoch as f64,
                    train_accuracy: 0.9,
                    validation_loss: Some(1.5 / epoch as f64),
                    validation_accuracy: Some(0.85),
                    learning_rate: 0.1,
                    ..Default::default()
                })
                .collect(),
            confusion: Some(confusion),
            class_names: vec![hostile.into(), "two".into()],
            filters: vec![FilterBank {
                layer: hostile.into(),
                out: 2,
                inputs: 1,
                height: 1,
                width: 2,
                values: vec![0.5, -1.0, f32::NAN, 0.0],
            }],
            mistakes: vec![MistakePicture {
                index: 7,
                channels: 3,
                height: 1,
                width: 1,
                pixels: vec![1, 2, 3],
                truth: 0,
                predicted: 2,
                probability: 0.75,
            }],
            looks: vec![LookPicture {
                index: 9,
                truth: 0,
                predicted: 0,
                probability: 0.75,
                layer: hostile.into(),
                image: pixel(),
                saliency: pixel(),
                grad_cam: pixel(),
            }],
            maps: Some(FeatureMaps {
                layer: hostile.into(),
                channels: 2,
                height: 1,
                width: 2,
                values: vec![0.5, 1.0, f32::NAN, 0.0],
            }),
        }
    }

    fn pixel() -> Picture {
        Picture { height: 1, width: 1, pixels: vec![1, 2, 3] }
    }

    /// Elements that are opened and never closed, by HTML's rules.
    const VOID: [&str; 5] = ["meta", "link", "img", "br", "col"];

    /// Walks the tags of a page and checks that each is closed in turn.
    fn assert_balanced(page: &str) {
        let mut open = Vec::new();
        let mut rest = page.strip_prefix("<!doctype html>").unwrap();
        while let Some(start) = rest.find('<') {
            let end = start + rest[start..].find('>').unwrap();
            let tag = &rest[start + 1..end];
            rest = &rest[end + 1..];
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "before {}", &rest[..rest.len().min(80)]);
            } else {
                let name = tag.split_whitespace().next().unwrap();
                if !VOID.contains(&name) && !tag.ends_with('/') {
                    open.push(name);
                }
            }
        }
        assert!(open.is_empty(), "{open:?} are never closed");
    }

    #[test]
    fn every_tag_is_closed_with_all_parts_and_with_none() {
        assert_balanced(&render(&everything()).unwrap());
        assert_balanced(&render(&ReportData::default()).unwrap());
    }

    #[test]
    fn the_figures_of_an_epoch_are_those_of_training_and_validation() {
        let page = render(&everything()).unwrap();
        let table = page.split("Figures of each epoch").nth(1).unwrap();
        let table = table.split("</table>").next().unwrap();
        assert!(table.contains(">Validation loss<") && table.contains(">Validation accuracy<"));
        assert!(table.contains("1.5000") && !table.contains("Test"), "{table}");
    }

    #[test]
    fn text_from_outside_never_becomes_markup() {
        let page = render(&everything()).unwrap();
        assert!(!page.contains("<script") && !page.contains("alert('"));
        assert!(page.contains("&lt;script&gt;alert(&#39;&quot;&amp;&quot;)&lt;/script&gt;"));
    }

    #[test]
    fn the_page_fetches_nothing() {
        let page = render(&everything()).unwrap();
        assert!(page.contains("default-src 'none'"));
        for fetch in ["http:", "https:", "//", "url(", "@import", "<iframe", "src=\"/", "<script"] {
            // Base64 may hold slashes by chance; what could be fetched is outside of the pictures.
            let outside = page
                .split("data:image/png;base64,")
                .map(|part| part.split_once('"').map_or(part, |(_, after)| after));
            assert!(outside.clone().all(|part| !part.contains(fetch)), "{fetch}");
        }
    }

    #[test]
    fn every_picture_has_a_text_and_every_table_a_caption() {
        let page = render(&everything()).unwrap();
        for (element, needs) in [("<img ", "alt=\""), ("<svg ", "aria-label")] {
            assert!(page.contains(element));
            for tag in page.split(element).skip(1) {
                let tag = tag.split('>').next().unwrap();
                assert!(tag.contains(needs), "{element}{tag}");
            }
        }
        assert_eq!(page.matches("<table").count(), page.matches("<caption").count());
        assert_eq!(page.matches("<h1").count(), 1);
    }

    #[test]
    fn parts_without_data_are_left_out_together_with_their_links() {
        let page = render(&ReportData::default()).unwrap();
        for part in ["curves", "confusion", "mistakes", "insight", "filters"] {
            assert!(!page.contains(part), "{part}");
        }
        let full = render(&everything()).unwrap();
        for link in full.split("href=\"#").skip(1) {
            let id = link.split('"').next().unwrap();
            assert!(full.contains(&format!("id=\"{id}\"")), "{id}");
        }
    }

    #[test]
    fn figures_that_do_not_fit_their_shape_are_refused() {
        let mut torn = everything();
        torn.filters[0].values.pop();
        assert!(render(&torn).unwrap_err().to_string().contains("3 values cannot be"));
        let mut odd = everything();
        odd.mistakes[0].channels = 2;
        odd.mistakes[0].pixels.pop();
        assert!(render(&odd).unwrap_err().to_string().contains("2 channels"));
        let mut vast = everything();
        vast.mistakes[0].height = usize::MAX;
        assert!(render(&vast).is_err());
    }

    #[test]
    fn a_run_that_lost_its_loss_still_has_a_report() {
        let mut data = everything();
        data.epochs[1].train_loss = f64::NAN;
        data.epochs[2].validation_loss = Some(f64::INFINITY);
        let page = render(&data).unwrap();
        assert_balanced(&page);
        let drawn = page.split("<path").skip(1).all(|path| {
            let path = path.split('>').next().unwrap();
            !path.contains("NaN") && !path.contains("inf")
        });
        assert!(drawn);
    }
}

//! What a network looks at in an image: saliency, Grad-CAM, and the maps that its layers make of it.

mod picture;
#[cfg(test)]
mod tests;

use ferrotape_autograd::{BackwardOptions, Tensor, ops::Resize};
use ferrotape_backend::{Array, DType, Device, Rng};
use ferrotape_data::{FloatImage, Normalise, Transform};
use ferrotape_nn::{Classifier, Pass};

pub use picture::Picture;

use crate::metrics::argmax;
use crate::{Error, Result};

/// How many layers an error names.
const NAMED: usize = 8;

/// A network and an image that it is asked about. Nothing of the network changes.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_data::{FloatImage, Normalise};
/// use ferrotape_nn::{Conv2dConfig, Flatten, Init, LinearConfig, Sequential};
/// use ferrotape_train::insight::Look;
///
/// let device = Device::new(Reference::new());
/// let network = Sequential::new(&Init::new(&device, Rng::new(1)))
///     .named("conv", Conv2dConfig::new(1, 2, 3))?
///     .add(Flatten::new)?
///     .named("fc", LinearConfig::new(2 * 4 * 4, 10))?;
/// let image = FloatImage::new(vec![0.5; 36], [1, 6, 6])?;
/// let look = Look::new(&network, &device, image, &Normalise { mean: vec![0.5], std: vec![0.25] })?;
///
/// let heat = look.grad_cam(Some(3), None)?;
/// assert_eq!((heat.class, heat.layer.as_deref(), heat.values.len()), (3, Some("conv"), 36));
/// assert_eq!(look.feature_maps(Some("conv"))?.channels, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Look<'a> {
    network: &'a dyn Classifier,
    device: &'a Device,
    /// `[1, C, H, W]`, normalised.
    image: Array,
}

/// How much each pixel of the image counts for a class; none is negative.
#[derive(Debug, Clone, PartialEq)]
pub struct Heat {
    /// The class.
    pub class: usize,
    /// The probability that the network gives it.
    pub probability: f32,
    /// The layer that was looked at; `None` for the image itself.
    pub layer: Option<String>,
    /// Rows of the image.
    pub height: usize,
    /// Columns of the image.
    pub width: usize,
    /// By row and column.
    pub values: Vec<f32>,
}

/// What a layer makes of the image.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureMaps {
    /// The layer's path.
    pub layer: String,
    /// How many maps there are.
    pub channels: usize,
    /// Rows of each.
    pub height: usize,
    /// Columns of each.
    pub width: usize,
    /// By map, row and column.
    pub values: Vec<f32>,
}

impl<'a> Look<'a> {
    /// An image with pixels in `[0, 1]`, normalised as the network was trained.
    ///
    /// # Errors
    /// A normalisation of another number of channels.
    pub fn new(
        network: &'a dyn Classifier,
        device: &'a Device,
        mut image: FloatImage,
        normalise: &Normalise,
    ) -> Result<Self> {
        normalise.apply(&mut image, Rng::new(0))?;
        let [c, h, w] = image.shape();
        let dtype = network.parameters().first().map_or(DType::F32, |p| p.value().dtype());
        let image = Array::from_slice(device, image.pixels(), [1, c, h, w])?.cast(dtype)?;
        Ok(Self { network, device, image })
    }

    /// The largest absolute gradient of a class's score over the channels of each pixel: `max_c |dS/dx_c|`
    /// (Simonyan et al. 2014). Without a class it is the one that the network names.
    ///
    /// # Errors
    /// A class that the network does not have; an image that it does not take.
    pub fn saliency(&self, class: Option<usize>) -> Result<Heat> {
        let cx = Pass::eval(self.device).with_grad();
        let x = cx.variable(self.image.clone())?;
        let scores = self.network.scores(&cx, &x)?;
        let (class, probability) = chosen(&scores, class)?;
        let gradient = gradient_of(&scores, class, &x)?;
        let [_, channels, height, width] = x.shape().nchw()?;
        let area = height * width;
        let strongest = |pixel: usize| {
            let all = (0..channels).map(|c| gradient[c * area + pixel].abs());
            all.fold(0f32, f32::max)
        };
        let values = (0..area).map(strongest).collect();
        Ok(Heat { class, probability, layer: None, height, width, values })
    }

    /// Where a layer's maps speak for a class: `relu(sum_k a_k A_k)`, where `a_k` is the mean of `dS/dA_k` over
    /// the map `A_k`, enlarged bilinearly to the size of the image (Selvaraju et al. 2017). Without a layer it is
    /// the last whose maps have more than one pixel.
    ///
    /// # Errors
    /// As [`Look::saliency`]; a layer that the network does not have, or that makes no maps.
    pub fn grad_cam(&self, class: Option<usize>, layer: Option<&str>) -> Result<Heat> {
        let cx = Pass::eval(self.device).with_grad().probe(layer.unwrap_or("*"));
        let x = cx.variable(self.image.clone())?;
        let scores = self.network.scores(&cx, &x)?;
        let (layer, maps) = match layer {
            Some(name) => self.probed(&cx, name)?,
            None => with_maps(&cx).pop().ok_or_else(no_maps)?,
        };
        let (class, probability) = chosen(&scores, class)?;
        let gradient = gradient_of(&scores, class, &maps)?;
        let [_, channels, height, width] = maps.shape().nchw()?;
        let values: Vec<f32> = maps.array().cast(DType::F32)?.to_vec()?;
        let area = height * width;
        let mut heat = vec![0f32; area];
        for channel in 0..channels {
            let range = channel * area..(channel + 1) * area;
            let weight = gradient[range.clone()].iter().sum::<f32>() / area as f32;
            for (heat, value) in heat.iter_mut().zip(&values[range]) {
                *heat += weight * value;
            }
        }
        heat.iter_mut().for_each(|value| *value = value.max(0.0));
        let [_, _, high, wide] = x.shape().nchw()?;
        let small = Tensor::from(Array::from_slice(self.device, &heat, [1, 1, height, width])?);
        let large = small.interpolate([high, wide], Resize::Bilinear { align_corners: false })?;
        let values = large.array().to_vec()?;
        Ok(Heat { class, probability, layer: Some(layer), height: high, width: wide, values })
    }

    /// The maps that a layer makes of the image; without a layer, those of the first that makes any.
    ///
    /// # Errors
    /// A layer that the network does not have, or that makes no maps; an image that the network does not take.
    pub fn feature_maps(&self, layer: Option<&str>) -> Result<FeatureMaps> {
        let cx = Pass::eval(self.device).probe(layer.unwrap_or("*"));
        self.network.scores(&cx, &cx.input(self.image.clone())?)?;
        let (layer, maps) = match layer {
            Some(name) => self.probed(&cx, name)?,
            None => with_maps(&cx).into_iter().next().ok_or_else(no_maps)?,
        };
        let [_, channels, height, width] = maps.shape().nchw()?;
        let values = maps.array().cast(DType::F32)?.to_vec()?;
        Ok(FeatureMaps { layer, channels, height, width, values })
    }

    /// The layers that make maps, in the order of computing.
    ///
    /// # Errors
    /// An image that the network does not take.
    pub fn layers(&self) -> Result<Vec<String>> {
        let cx = Pass::eval(self.device).probe("*");
        self.network.scores(&cx, &cx.input(self.image.clone())?)?;
        Ok(with_maps(&cx).into_iter().map(|(name, _)| name).collect())
    }

    /// The output of the layer that a pass was told to keep; its last, where it ran several times.
    fn probed(&self, cx: &Pass, name: &str) -> Result<(String, Tensor)> {
        let found = cx.probes().into_iter().rev().find(|(path, _)| path.as_str() == name);
        match found {
            Some((path, maps)) if maps.shape().rank() == 4 => Ok((path.as_str().to_owned(), maps)),
            Some((_, output)) => Err(Error::Figures(format!(
                "the output of {name} is {}, which is no image; {}",
                output.shape(),
                nearest(name, self.layers()?)
            ))),
            None => Err(Error::Figures(format!(
                "the network has no layer {name}; {}",
                nearest(name, self.layers()?)
            ))),
        }
    }
}

/// Which layers may have been meant, the likeliest first.
fn nearest(name: &str, mut layers: Vec<String>) -> String {
    let likeness = |layer: &String| strsim::jaro_winkler(layer, name);
    layers.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    layers.dedup();
    match (layers.len(), layers.len().saturating_sub(NAMED)) {
        (0, _) => "it has none that makes maps".into(),
        (_, 0) => format!("those that make maps are {}", layers.join(", ")),
        (_, more) => {
            layers.truncate(NAMED);
            format!(
                "of those that make maps the nearest are {}, and there are {more} more",
                layers.join(", ")
            )
        }
    }
}

/// The outputs of a pass that are maps of more than one pixel, by the names of their layers.
fn with_maps(cx: &Pass) -> Vec<(String, Tensor)> {
    let is_map = |output: &Tensor| {
        output.shape().nchw().is_ok_and(|[_, _, height, width]| height * width > 1)
    };
    let outputs = cx.probes().into_iter();
    let maps = outputs.filter(|(path, output)| !path.as_str().is_empty() && is_map(output));
    maps.map(|(path, output)| (path.as_str().to_owned(), output)).collect()
}

fn no_maps() -> Error {
    Error::Figures("the network has no layer that makes maps, so there is nothing to show".into())
}

/// The class that is asked about, or else the most probable one, with its probability.
fn chosen(scores: &Tensor, class: Option<usize>) -> Result<(usize, f32)> {
    let scores: Vec<f32> = scores.detach().cast(DType::F32)?.softmax(1)?.array().to_vec()?;
    let class = match class {
        Some(class) if class >= scores.len() => {
            return Err(Error::Figures(format!(
                "there is no class {class}: the network tells {} apart, numbered from 0",
                scores.len()
            )));
        }
        Some(class) => class,
        None => argmax(&scores).ok_or_else(|| {
            Error::Figures("the network's scores are no numbers; its weights are broken".into())
        })?,
    };
    Ok((class, scores[class]))
}

/// The gradient of a class's score.
fn gradient_of(scores: &Tensor, class: usize, of: &Tensor) -> Result<Vec<f32>> {
    let score = scores.narrow(1, class, 1)?.sum_all()?;
    let options = BackwardOptions { wrt: &[of], only: true, ..BackwardOptions::default() };
    Ok(score.backward_with(&options)?.of(of)?.cast(DType::F32)?.to_vec()?)
}

//! What a report shows of a trained network: filters, mistakes, and what it looks at.

use std::path::Path;

use ferrotape_backend::{DType, Device};
use ferrotape_data::{Dataset, FloatImage};
use ferrotape_nn::Classifier;

use super::{Run, RunData};
use crate::evaluate::Evaluation;
use crate::insight::{FeatureMaps, Look, Picture};
use crate::report::{FilterBank, LookPicture, MistakePicture, ReportData, render};
use crate::{EpochRecord, FinalRecord, Prediction, Result};

/// How many of the worst mistakes the report shows.
const WORST: usize = 24;

/// How many mistakes, and how many images that were told right, are looked into.
const LOOKED_INTO: usize = 3;

/// The longest side of a picture of those.
const SIDE: usize = 112;

/// Whether images are grey or in colour, and so can be drawn; a run on others has a report without pictures.
fn can_be_drawn(data: &dyn Dataset) -> bool {
    [1, 3].contains(&data.image_shape()[0])
}

/// The report of a run whose model was tested.
pub(super) fn page(
    run: Run<'_>,
    data: &RunData,
    folder: &Path,
    (epochs, result): (Vec<EpochRecord>, FinalRecord),
    test: Evaluation,
) -> Result<String> {
    let (looks, maps) = looks(run.model, run.device, &test, data)?;
    render(&ReportData {
        run: folder.display().to_string(),
        result,
        config: run.config.clone(),
        environment: run.environment,
        layers: run.layers,
        epochs,
        class_names: data.test.classes().to_vec(),
        filters: filters(run.model)?,
        mistakes: mistakes(&test, &*data.test)?,
        looks,
        maps,
        confusion: Some(test.confusion),
    })
}

/// The weights of the convolutions whose kernels are large enough to look at.
pub(super) fn filters(model: &dyn Classifier) -> Result<Vec<FilterBank>> {
    let mut banks = Vec::new();
    for (name, parameter) in model.named_parameters() {
        let shape = parameter.shape();
        let [out, inputs, height, width] = match shape.nchw() {
            Ok(sizes) if sizes[2] * sizes[3] > 1 => sizes,
            _ => continue,
        };
        let values = parameter.value().cast(DType::F32)?.to_vec()?;
        let layer = name.trim_end_matches(".weight").to_owned();
        banks.push(FilterBank { layer, out, inputs, height, width, values });
    }
    Ok(banks)
}

fn mistakes(test: &Evaluation, data: &dyn Dataset) -> Result<Vec<MistakePicture>> {
    let mut pictures = Vec::new();
    if !can_be_drawn(data) {
        return Ok(pictures);
    }
    for wrong in test.worst(WORST) {
        let sample = data.sample(wrong.index)?;
        let [channels, height, width] = sample.image.shape();
        pictures.push(MistakePicture {
            index: wrong.index,
            channels,
            height,
            width,
            pixels: sample.image.pixels().to_vec(),
            truth: wrong.truth,
            predicted: wrong.predicted,
            probability: wrong.probability,
        });
    }
    Ok(pictures)
}

/// Saliency and Grad-CAM of some test images, and the first layer's maps of the first of them. Nothing of
/// both where no layer makes maps.
fn looks(
    model: &dyn Classifier,
    device: &Device,
    test: &Evaluation,
    data: &RunData,
) -> Result<(Vec<LookPicture>, Option<FeatureMaps>)> {
    let (mut pictures, mut maps) = (Vec::new(), None);
    if !can_be_drawn(&*data.test) {
        return Ok((pictures, maps));
    }
    for prediction in worth_a_look(test) {
        let sample = data.test.sample(prediction.index)?;
        let image = FloatImage::from_bytes(&sample.image);
        let look = Look::new(model, device, image, &data.normalise)?;
        if maps.is_none() {
            if look.layers()?.is_empty() {
                break;
            }
            maps = Some(look.feature_maps(None)?);
        }
        let image = Picture::of(sample.image.pixels(), sample.image.shape())?;
        let class = Some(prediction.predicted);
        let saliency = Picture::heat(&look.saliency(class)?);
        let heat = look.grad_cam(class, None)?;
        pictures.push(LookPicture {
            index: prediction.index,
            truth: prediction.truth,
            predicted: prediction.predicted,
            probability: prediction.probability,
            layer: heat.layer.clone().unwrap_or_default(),
            grad_cam: Picture::overlay(&image, &heat)?.reduced(SIDE),
            saliency: saliency.reduced(SIDE),
            image: image.reduced(SIDE),
        });
    }
    Ok((pictures, maps))
}

/// Images of different classes that were told right, and the worst mistakes.
fn worth_a_look(test: &Evaluation) -> Vec<Prediction> {
    let mut chosen: Vec<Prediction> = Vec::new();
    for prediction in test.predictions.iter().filter(|p| p.truth == p.predicted) {
        if chosen.len() < LOOKED_INTO && chosen.iter().all(|p| p.truth != prediction.truth) {
            chosen.push(*prediction);
        }
    }
    chosen.extend(test.worst(LOOKED_INTO));
    chosen
}

//! `ferrotape features`, `gradcam`, `saliency` and `filters`: what a network looks at, as pictures.

use std::io::Write;
use std::path::{Path, PathBuf};

use ferrotape::backend::DType;
use ferrotape::data::{FloatImage, Normalise};
use ferrotape::prelude::{Classifier, Device, zoo};
use ferrotape::train::insight::{FeatureMaps, Heat, Look, Picture};
use ferrotape::train::{RunConfig, RunFolder, format, predict, write_atomically};

use crate::error::{Failure, Result};
use crate::shown::stdout;
use crate::{data, model, output, picture};

/// The least side of a picture that is written, and the most maps in it.
const SIDE: usize = 224;
const MOST: usize = 256;

/// What the files are.
const PICTURE: &str = "a PNG picture";

/// Flags that say which network.
#[derive(Debug, clap::Args)]
pub(crate) struct Network {
    /// The run's folder, or with --weights a model, such as lenet5.
    run: PathBuf,
    #[command(flatten)]
    weights: model::Weights,
    /// Number of classes that the weights tell apart [default: the model's own].
    #[arg(long, requires = "weights")]
    classes: Option<usize>,
}

/// Flags of `gradcam` and `saliency`.
#[derive(Debug, clap::Args)]
pub(crate) struct HeatArguments {
    #[command(flatten)]
    network: Network,
    /// The picture that is looked into: PNG, JPEG, WebP, BMP or GIF.
    image: PathBuf,
    /// The class that is asked about, by name or number [default: the one that the network names].
    #[arg(long)]
    class: Option<String>,
    /// The picture to write, as PNG, which must not exist: the image as the network sees it, and beside it the map.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Flags of `gradcam`.
#[derive(Debug, clap::Args)]
pub(crate) struct GradCam {
    #[command(flatten)]
    heat: HeatArguments,
    /// The layer whose maps are weighed [default: the last that makes maps].
    #[arg(long)]
    layer: Option<String>,
}

/// Flags of `features`.
#[derive(Debug, clap::Args)]
pub(crate) struct Features {
    #[command(flatten)]
    network: Network,
    /// The picture that is looked into: PNG, JPEG, WebP, BMP or GIF.
    image: PathBuf,
    /// The layer [default: the first that makes maps].
    #[arg(long)]
    layer: Option<String>,
    /// The picture to write, as PNG, which must not exist: a tile a map, each from black, its least value, to white.
    #[arg(long, value_name = "FILE", default_value = "features.png")]
    out: PathBuf,
}

/// Flags of `filters`.
#[derive(Debug, clap::Args)]
pub(crate) struct Filters {
    #[command(flatten)]
    network: Network,
    /// The convolution, such as conv1 [default: the first].
    #[arg(long)]
    layer: Option<String>,
    /// The picture to write, as PNG, which must not exist: a tile a filter; those of three input channels in colour,
    /// others by their first.
    #[arg(long, value_name = "FILE", default_value = "filters.png")]
    out: PathBuf,
}

/// A network and what it is shown.
struct Opened {
    config: RunConfig,
    device: Device,
    network: Box<dyn Classifier>,
    normalise: Normalise,
    shape: [usize; 3],
}

impl Network {
    /// On the CPU in f32: it is about one image.
    fn open(&self) -> Result<Opened> {
        let weights = &self.weights;
        let saved = match weights.weights {
            Some(_) => model::of_others(&self.run.to_string_lossy()),
            None => RunFolder::open(&self.run)?.read_config()?,
        };
        let entry = zoo::find(&saved.model)?;
        let known = if saved.classes.is_empty() { entry.classes } else { saved.classes.len() };
        let classes = self.classes.unwrap_or(known);
        let machine = model::Machine {
            device: Some("cpu".into()),
            dtype: Some("f32".into()),
            ..model::Machine::default()
        };
        let (config, device, network) = match weights.weights {
            Some(_) => model::with_weights(&saved.model, weights, &machine, classes)?,
            None => model::restore(&self.run, &machine, classes)?,
        };
        let shape = model::image_shape(&config)?;
        let normalise = config.normalise().unwrap_or_else(|| data::usual(shape[0]));
        Ok(Opened { config, device, network, normalise, shape })
    }
}

impl Opened {
    /// The image as the network sees it, in `[0, 1]`, and as a picture.
    fn read(&self, path: &Path) -> Result<(FloatImage, Picture)> {
        let image = match data::expects_digits(&self.config, self.shape[0]) {
            true => picture::read_digit(path, self.shape)?,
            false => picture::read(path, self.shape)?,
        };
        let bytes: Vec<u8> = image.pixels().iter().map(|&p| (p * 255.0).round() as u8).collect();
        let seen = Picture::of(&bytes, self.shape)?;
        Ok((image, seen))
    }

    fn look(&self, image: FloatImage) -> Result<Look<'_>> {
        Ok(Look::new(&*self.network, &self.device, image, &self.normalise)?)
    }

    /// A class by its name or its number.
    fn class(&self, text: &str) -> Result<usize> {
        let names = &self.config.classes;
        let found = names.iter().position(|name| name == text);
        found.or_else(|| text.parse().ok()).ok_or_else(|| {
            let known = match names.is_empty() {
                true => "number it from 0".to_owned(),
                false => format!("there are {}", names.join(", ")),
            };
            Failure::Said(format!("there is no class {text}; {known}"))
        })
    }

    fn name_of(&self, class: usize) -> String {
        self.config.classes.get(class).cloned().unwrap_or_else(|| class.to_string())
    }
}

/// Writes where the maps of a layer speak for a class.
pub(crate) fn grad_cam(arguments: &GradCam) -> Result<()> {
    heat(&arguments.heat, "gradcam.png", |look, class| {
        Ok(look.grad_cam(class, arguments.layer.as_deref())?)
    })
}

/// Writes how much each pixel changes the score of a class.
pub(crate) fn saliency(arguments: &HeatArguments) -> Result<()> {
    heat(arguments, "saliency.png", |look, class| Ok(look.saliency(class)?))
}

fn heat(
    arguments: &HeatArguments,
    default: &str,
    of: impl Fn(&Look<'_>, Option<usize>) -> Result<Heat>,
) -> Result<()> {
    let out = arguments.out.clone().unwrap_or_else(|| default.into());
    output::check(&out, "png", PICTURE)?;
    let opened = arguments.network.open()?;
    let class = arguments.class.as_deref().map(|text| opened.class(text)).transpose()?;
    let (image, seen) = opened.read(&arguments.image)?;
    let Opened { network, device, config, normalise, .. } = &opened;
    let probabilities = predict(&**network, device, config, image.clone(), normalise)?;
    let heat = of(&opened.look(image)?, class)?;
    let map = match heat.layer {
        Some(_) => Picture::overlay(&seen, &heat)?,
        None => Picture::heat(&heat),
    };
    let times = SIDE.div_ceil(seen.height.max(seen.width).max(1));
    let both = Picture::beside(&[seen.enlarged(times), map.enlarged(times)]);
    write_atomically(&out, &both.png()?)?;
    let ranked =
        (0..probabilities.len()).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    let named = ranked.unwrap_or(heat.class);
    let sure = |class: usize| format::percent(f64::from(probabilities[class]));
    let mut text =
        format!("{}: the network says {} ({})", out.display(), opened.name_of(named), sure(named));
    if heat.class != named {
        text += &format!(
            "; shown is what speaks for {} ({})",
            opened.name_of(heat.class),
            sure(heat.class)
        );
    }
    if let Some(layer) = heat.layer {
        text += &format!("; seen in {layer}");
    }
    say(text)
}

/// Writes the maps that a layer makes of an image.
pub(crate) fn features(arguments: &Features) -> Result<()> {
    output::check(&arguments.out, "png", PICTURE)?;
    let opened = arguments.network.open()?;
    let (image, _) = opened.read(&arguments.image)?;
    let maps = opened.look(image)?.feature_maps(arguments.layer.as_deref())?;
    let FeatureMaps { channels, height, width, ref layer, .. } = maps;
    write(&arguments.out, &maps)?;
    let shown = match channels > MOST {
        true => format!("the first {MOST} of {channels}"),
        false => channels.to_string(),
    };
    say(format!("{}: {shown} maps of {height} x {width}, of {layer}", arguments.out.display()))
}

/// Writes the filters of a convolution.
pub(crate) fn filters(arguments: &Filters) -> Result<()> {
    output::check(&arguments.out, "png", PICTURE)?;
    let opened = arguments.network.open()?;
    let mut known = Vec::new();
    for (name, parameter) in opened.network.named_parameters() {
        let Ok([out, inputs, height, width]) = parameter.shape().nchw() else { continue };
        let layer = name.trim_end_matches(".weight").to_owned();
        if arguments.layer.as_ref().is_some_and(|wanted| *wanted != layer) {
            known.push(layer);
            continue;
        }
        let values: Vec<f32> = parameter.value().cast(DType::F32)?.to_vec()?;
        let area = height * width;
        if inputs == 3 {
            let drawn = coloured(&values, [out.min(MOST), height, width]);
            write_enlarged(&arguments.out, &drawn)?;
        } else {
            let first = values.chunks_exact(inputs * area).flat_map(|filter| &filter[..area]);
            let values = first.copied().collect();
            let maps = FeatureMaps { layer: layer.clone(), channels: out, height, width, values };
            write(&arguments.out, &maps)?;
        }
        let shown = if out > MOST { format!("the first {MOST} of {out}") } else { out.to_string() };
        return say(format!(
            "{}: {shown} filters of {inputs} x {height} x {width}, of {layer}",
            arguments.out.display()
        ));
    }
    Err(Failure::Said(match &arguments.layer {
        Some(layer) => format!(
            "the network has no convolution {layer}; its convolutions are {}",
            known.join(", ")
        ),
        None => "the network has no convolution, so it has no filters".into(),
    }))
}

/// Filters of three input channels as pictures in colour, grey where a weight is 0.
fn coloured(values: &[f32], [count, height, width]: [usize; 3]) -> Picture {
    let area = height * width;
    let tiles = values.chunks_exact(3 * area).take(count).map(|filter| {
        let most = filter.iter().fold(0f32, |most, value| most.max(value.abs()));
        let byte = |value: f32| if most > 0.0 { (127.5 + 127.5 * value / most) as u8 } else { 127 };
        let pixels = (0..area).flat_map(|at| [0, 1, 2].map(|c| byte(filter[c * area + at])));
        Picture { height, width, pixels: pixels.collect() }
    });
    let tiles: Vec<Picture> = tiles.collect();
    let across = (1..=tiles.len()).find(|n| n * n >= tiles.len()).unwrap_or(1);
    let rows: Vec<Picture> = tiles.chunks(across).map(Picture::beside).collect();
    Picture::below(&rows)
}

fn write(path: &Path, maps: &FeatureMaps) -> Result<()> {
    write_enlarged(path, &Picture::maps(maps, MOST))
}

fn write_enlarged(path: &Path, picture: &Picture) -> Result<()> {
    let times = (2 * SIDE).div_ceil(picture.height.max(picture.width).max(1));
    Ok(write_atomically(path, &picture.enlarged(times).png()?)?)
}

fn say(text: String) -> Result<()> {
    Ok(writeln!(stdout(), "{text}")?)
}

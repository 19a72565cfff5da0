//! Rows of whole networks by name: what the programs in `examples` run.

use ferrotape::autograd::profile;
use ferrotape::prelude::*;
use ferrotape::{Error, Result};

use crate::device;
use crate::zoo::{NETWORKS, Network};

/// One step of a row, as often as it is called.
pub type Step = Box<dyn FnMut() -> Result<()>>;

/// A row of a whole network, ready to run.
pub struct Row {
    /// Images in a step.
    pub batch: usize,
    /// What is timed.
    pub step: Step,
}

impl Row {
    /// The row of a name, such as `train/resnet50/b256/bf16` or `infer/lenet5/b1/f32`, on a device.
    ///
    /// ```
    /// use ferrotape_benches::{device, rows::Row};
    ///
    /// let mut row = Row::of(&device::open()?, "train/lenet5/b2/f32")?;
    /// (row.step)()?;
    /// assert_eq!(row.batch, 2);
    /// # Ok::<(), ferrotape::Error>(())
    /// ```
    ///
    /// # Errors
    /// A name of another form, or of a network that is not measured; out of memory.
    pub fn of(device: &Device, name: &str) -> Result<Self> {
        let wrong =
            || Error::argument(format!("'{name}' is no row; one is train/resnet50/b8/bf16"));
        let parts: Vec<&str> = name.split('/').collect();
        let [phase, model, batch, dtype] = parts[..] else { return Err(wrong()) };
        let network = NETWORKS.iter().find(|network| network.name == model).ok_or_else(wrong)?;
        let batch: usize =
            batch.strip_prefix('b').and_then(|b| b.parse().ok()).ok_or_else(wrong)?;
        let dtype: DType = dtype.parse()?;
        let step = match phase {
            "train" => training(device, network, batch, dtype)?,
            "infer" => inference(device, network, batch, dtype)?,
            _ => return Err(wrong()),
        };
        Ok(Row { batch, step })
    }
}

fn cast(cx: Pass, dtype: DType) -> Pass {
    match dtype {
        DType::F32 => cx,
        dtype => cx.autocast(dtype),
    }
}

/// Forward, cross entropy, backward and a step of SGD with momentum, on the same batch again and again.
fn training(device: &Device, network: &Network, batch: usize, dtype: DType) -> Result<Step> {
    let model = network.build(device)?;
    let images = device::images(device, DType::F32, network.images(batch))?;
    let labels = device::labels(device, batch, network.classes)?;
    let config = SgdConfig { lr: 0.01, momentum: 0.9, ..SgdConfig::default() };
    let mut sgd = Sgd::new(model.parameters(), config)?;
    let (device, mut number) = (device.clone(), 0);
    Ok(Box::new(move || {
        number += 1;
        let cx = cast(Pass::train(&device, Rng::new(1).step(number)), dtype);
        let outcome = model.loss(&cx, &cx.input(images.clone())?, &labels)?;
        let gradients = outcome.loss.backward()?;
        drop(outcome);
        let about = || ("step".to_owned(), String::new());
        profile::span("optimizer", about, || sgd.step(&gradients))
    }))
}

/// A forward pass in evaluation mode.
fn inference(device: &Device, network: &Network, batch: usize, dtype: DType) -> Result<Step> {
    let model = network.build(device)?;
    let images = device::images(device, DType::F32, network.images(batch))?;
    let device = device.clone();
    Ok(Box::new(move || {
        let cx = cast(Pass::eval(&device), dtype);
        model.scores(&cx, &cx.input(images.clone())?).map(|_| ())
    }))
}

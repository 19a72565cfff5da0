//! The networks by name, for the command line.

use ferrotape_backend::{Error, Result};
use ferrotape_nn::{Classifier, Init};

/// A network that can be made by name.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// What the command line calls it.
    pub name: &'static str,
    /// The paper it is from.
    pub source: &'static str,
    /// The sizes `[C, H, W]` of the images it was made for.
    pub input: [usize; 3],
    /// How many classes its original tells apart.
    pub classes: usize,
    /// The share of test images, in percent, that a published training of it tells right, of one
    /// crop in the middle: torchvision's `IMAGENET1K_V1` weights on ImageNet's validation images; for
    /// the networks made for CIFAR-10, 100 % less the error in the paper's table 6. `None` where
    /// nobody published one for exactly this form.
    pub reference_accuracy: Option<f64>,
    build: fn(&Init, usize) -> Result<Box<dyn Classifier>>,
}

impl Model {
    /// The network with new parameters.
    ///
    /// # Errors
    /// No classes; out of memory.
    pub fn build(&self, init: &Init, classes: usize) -> Result<Box<dyn Classifier>> {
        (self.build)(init, classes)
    }
}

const MODELS: &[Model] = &[
    Model {
        name: "lenet5",
        source: "LeCun et al. 1998",
        input: [1, 28, 28],
        classes: 10,
        reference_accuracy: None,
        build: |init, classes| Ok(Box::new(crate::lenet5(init, classes)?)),
    },
    Model {
        name: "resnet18",
        source: "He et al. 2016",
        input: [3, 224, 224],
        classes: 1000,
        reference_accuracy: Some(69.758),
        build: |init, classes| Ok(Box::new(crate::resnet18(init, classes)?)),
    },
    Model {
        name: "resnet34",
        source: "He et al. 2016",
        input: [3, 224, 224],
        classes: 1000,
        reference_accuracy: Some(73.314),
        build: |init, classes| Ok(Box::new(crate::resnet34(init, classes)?)),
    },
    Model {
        name: "resnet50",
        source: "He et al. 2016",
        input: [3, 224, 224],
        classes: 1000,
        reference_accuracy: Some(76.13),
        build: |init, classes| Ok(Box::new(crate::resnet50(init, classes)?)),
    },
    Model {
        name: "resnet101",
        source: "He et al. 2016",
        input: [3, 224, 224],
        classes: 1000,
        reference_accuracy: Some(77.374),
        build: |init, classes| Ok(Box::new(crate::resnet101(init, classes)?)),
    },
    Model {
        name: "resnet152",
        source: "He et al. 2016",
        input: [3, 224, 224],
        classes: 1000,
        reference_accuracy: Some(78.312),
        build: |init, classes| Ok(Box::new(crate::resnet152(init, classes)?)),
    },
    Model {
        name: "cifar_resnet20",
        source: "He et al. 2016",
        input: [3, 32, 32],
        classes: 10,
        reference_accuracy: Some(91.25),
        build: |init, classes| Ok(Box::new(crate::cifar_resnet20(init, classes)?)),
    },
    Model {
        name: "cifar_resnet32",
        source: "He et al. 2016",
        input: [3, 32, 32],
        classes: 10,
        reference_accuracy: Some(92.49),
        build: |init, classes| Ok(Box::new(crate::cifar_resnet32(init, classes)?)),
    },
    Model {
        name: "cifar_resnet44",
        source: "He et al. 2016",
        input: [3, 32, 32],
        classes: 10,
        reference_accuracy: Some(92.83),
        build: |init, classes| Ok(Box::new(crate::cifar_resnet44(init, classes)?)),
    },
    Model {
        name: "cifar_resnet56",
        source: "He et al. 2016",
        input: [3, 32, 32],
        classes: 10,
        reference_accuracy: Some(93.03),
        build: |init, classes| Ok(Box::new(crate::cifar_resnet56(init, classes)?)),
    },
    Model {
        name: "cifar_resnet110",
        source: "He et al. 2016",
        input: [3, 32, 32],
        classes: 10,
        reference_accuracy: Some(93.57),
        build: |init, classes| Ok(Box::new(crate::cifar_resnet110(init, classes)?)),
    },
];

/// Every network.
///
/// ```
/// assert!(ferrotape_zoo::models().iter().any(|model| model.name == "lenet5"));
/// ```
#[must_use]
pub fn models() -> &'static [Model] {
    MODELS
}

/// The network of this name.
///
/// ```
/// let error = ferrotape_zoo::find("lenet").unwrap_err().to_string();
/// assert!(error.contains("did you mean 'lenet5'"));
/// ```
///
/// # Errors
/// There is none; the error names those there are and the nearest.
pub fn find(name: &str) -> Result<&'static Model> {
    MODELS.iter().find(|model| model.name == name).ok_or_else(|| {
        let nearest = MODELS
            .iter()
            .map(|model| (strsim::jaro_winkler(name, model.name), model.name))
            .filter(|(likeness, _)| *likeness > 0.7)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let hint = nearest.map_or(String::new(), |(_, near)| format!(", did you mean '{near}'?"));
        let names: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
        let names = names.join(", ");
        Error::argument(format!("there is no model '{name}'{hint} (there is: {names})"))
    })
}

/// The network of this name with new parameters.
///
/// ```
/// use ferrotape_backend::{Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Module};
///
/// let device = Device::new(Reference::new());
/// let model = ferrotape_zoo::build("lenet5", &Init::new(&device, Rng::new(1)), 10)?;
/// assert_eq!(model.count_parameters(), 61_706);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
///
/// # Errors
/// As [`find`] and [`Model::build`].
pub fn build(name: &str, init: &Init, classes: usize) -> Result<Box<dyn Classifier>> {
    find(name)?.build(init, classes)
}

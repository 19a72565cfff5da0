//! The networks by name, for the command line.

use ferrotape_backend::{Error, Result};
use ferrotape_nn::{Classifier, Init};

use crate::{GoogLeNet, GoogLeNetConfig};

/// A network that can be made by name.
///
/// ```
/// let model = ferrotape_zoo::find("resnet50")?;
/// assert_eq!((model.input, model.classes), ([3, 224, 224], 1000));
/// assert_eq!(model.reference_accuracy, Some(76.13));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
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
    /// ```
    /// use ferrotape_backend::{Device, Rng, meta::Meta};
    /// use ferrotape_nn::{Init, Module};
    ///
    /// let entry = ferrotape_zoo::find("resnet18")?;
    /// let init = Init::new(&Device::new(Meta::new()), Rng::new(42));
    /// assert_eq!(entry.build(&init, entry.classes)?.count_parameters(), 11_689_512);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// No classes; out of memory.
    pub fn build(&self, init: &Init, classes: usize) -> Result<Box<dyn Classifier>> {
        (self.build)(init, classes)
    }

    /// The network with new parameters that is to be given weights from a file, as torchvision's
    /// constructor makes it when it is told of weights: [`googlenet`](crate::googlenet) brings its
    /// images to mean and deviation 0.5 then
    /// ([`transform_input`](crate::GoogLeNetConfig::transform_input)), which the published weights were
    /// trained with. All others are as [`build`](Self::build) makes them.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, meta::Meta};
    /// use ferrotape_nn::{Init, Module};
    ///
    /// let init = Init::new(&Device::new(Meta::new()), Rng::new(1));
    /// let model = ferrotape_zoo::find("googlenet")?.build_for_weights(&init, 1000)?;
    /// assert_eq!(model.count_parameters(), 13_004_888);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_for_weights(&self, init: &Init, classes: usize) -> Result<Box<dyn Classifier>> {
        match self.name {
            "googlenet" => {
                let config =
                    GoogLeNetConfig { transform_input: true, ..GoogLeNetConfig::new(classes) };
                Ok(Box::new(GoogLeNet::new(init, config)?))
            }
            _ => self.build(init, classes),
        }
    }
}

/// An entry, under the name of its constructor.
macro_rules! model {
    ($name:ident, $source:literal, $input:expr, $classes:literal, $accuracy:expr) => {
        Model {
            name: stringify!($name),
            source: $source,
            input: $input,
            classes: $classes,
            reference_accuracy: $accuracy,
            build: |init, classes| Ok(Box::new(crate::$name(init, classes)?)),
        }
    };
}

/// The size of images of ImageNet as networks see them, and those of CIFAR-10.
const LARGE: [usize; 3] = [3, 224, 224];
const SMALL: [usize; 3] = [3, 32, 32];

const MODELS: &[Model] = &[
    model!(lenet5, "LeCun et al. 1998", [1, 28, 28], 10, None),
    model!(lenet5_1998, "LeCun et al. 1998", [1, 28, 28], 10, None),
    model!(alexnet, "Krizhevsky 2014", LARGE, 1000, Some(56.522)),
    model!(alexnet_2012, "Krizhevsky et al. 2012", LARGE, 1000, None),
    model!(vgg11, "Simonyan and Zisserman 2015, A", LARGE, 1000, Some(69.02)),
    model!(vgg11_bn, "Simonyan and Zisserman 2015, A", LARGE, 1000, Some(70.37)),
    model!(vgg_a_lrn, "Simonyan and Zisserman 2015, A-LRN", LARGE, 1000, None),
    model!(vgg13, "Simonyan and Zisserman 2015, B", LARGE, 1000, Some(69.928)),
    model!(vgg13_bn, "Simonyan and Zisserman 2015, B", LARGE, 1000, Some(71.586)),
    model!(vgg_c, "Simonyan and Zisserman 2015, C", LARGE, 1000, None),
    model!(vgg16, "Simonyan and Zisserman 2015, D", LARGE, 1000, Some(71.592)),
    model!(vgg16_bn, "Simonyan and Zisserman 2015, D", LARGE, 1000, Some(73.36)),
    model!(vgg19, "Simonyan and Zisserman 2015, E", LARGE, 1000, Some(72.376)),
    model!(vgg19_bn, "Simonyan and Zisserman 2015, E", LARGE, 1000, Some(74.218)),
    model!(googlenet, "Szegedy et al. 2015", LARGE, 1000, Some(69.778)),
    model!(googlenet_2014, "Szegedy et al. 2015", LARGE, 1000, None),
    model!(resnet18, "He et al. 2016", LARGE, 1000, Some(69.758)),
    model!(resnet34, "He et al. 2016", LARGE, 1000, Some(73.314)),
    model!(resnet50, "He et al. 2016", LARGE, 1000, Some(76.13)),
    model!(resnet101, "He et al. 2016", LARGE, 1000, Some(77.374)),
    model!(resnet152, "He et al. 2016", LARGE, 1000, Some(78.312)),
    model!(cifar_resnet20, "He et al. 2016", SMALL, 10, Some(91.25)),
    model!(cifar_resnet32, "He et al. 2016", SMALL, 10, Some(92.49)),
    model!(cifar_resnet44, "He et al. 2016", SMALL, 10, Some(92.83)),
    model!(cifar_resnet56, "He et al. 2016", SMALL, 10, Some(93.03)),
    model!(cifar_resnet110, "He et al. 2016", SMALL, 10, Some(93.57)),
    model!(slim_vgg_bn, "after Simonyan and Zisserman 2015", [1, 28, 28], 10, None),
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

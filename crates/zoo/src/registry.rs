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

/// A network for the thousand classes of ImageNet, under the name of its constructor.
macro_rules! imagenet {
    ($name:ident, $source:literal) => {
        Model {
            name: stringify!($name),
            source: $source,
            input: [3, 224, 224],
            classes: 1000,
            build: |init, classes| Ok(Box::new(crate::$name(init, classes)?)),
        }
    };
}

const MODELS: &[Model] = &[
    Model {
        name: "lenet5",
        source: "LeCun et al. 1998",
        input: [1, 28, 28],
        classes: 10,
        build: |init, classes| Ok(Box::new(crate::lenet5(init, classes)?)),
    },
    Model {
        name: "lenet5_1998",
        source: "LeCun et al. 1998",
        input: [1, 28, 28],
        classes: 10,
        build: |init, classes| Ok(Box::new(crate::lenet5_1998(init, classes)?)),
    },
    imagenet!(alexnet, "Krizhevsky 2014"),
    imagenet!(alexnet_2012, "Krizhevsky et al. 2012"),
    imagenet!(vgg11, "Simonyan and Zisserman 2015, A"),
    imagenet!(vgg11_bn, "Simonyan and Zisserman 2015, A"),
    imagenet!(vgg_a_lrn, "Simonyan and Zisserman 2015, A-LRN"),
    imagenet!(vgg13, "Simonyan and Zisserman 2015, B"),
    imagenet!(vgg13_bn, "Simonyan and Zisserman 2015, B"),
    imagenet!(vgg_c, "Simonyan and Zisserman 2015, C"),
    imagenet!(vgg16, "Simonyan and Zisserman 2015, D"),
    imagenet!(vgg16_bn, "Simonyan and Zisserman 2015, D"),
    imagenet!(vgg19, "Simonyan and Zisserman 2015, E"),
    imagenet!(vgg19_bn, "Simonyan and Zisserman 2015, E"),
    imagenet!(googlenet, "Szegedy et al. 2015"),
    imagenet!(googlenet_2014, "Szegedy et al. 2015"),
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

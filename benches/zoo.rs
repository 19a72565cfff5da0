//! The networks that are measured, at the batches that the peers are measured at.

use ferrotape::Result;
use ferrotape::backend::meta::Meta;
use ferrotape::nn::{Row, Summary};
use ferrotape::prelude::*;
use ferrotape::zoo::{GoogLeNet, GoogLeNetConfig};

/// A network that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Its name in the zoo.
    pub name: &'static str,
    /// Images in a step; inference is measured at one image as well.
    pub batch: usize,
    /// The sizes `[C, H, W]` of an image.
    pub input: [usize; 3],
    /// How many classes it tells apart.
    pub classes: usize,
}

const IMAGENET: [usize; 3] = [3, 224, 224];

/// The networks, in the order of their rows.
pub const NETWORKS: [Network; 6] = [
    Network { name: "lenet5", batch: 64, input: [1, 28, 28], classes: 10 },
    Network { name: "alexnet", batch: 16, input: IMAGENET, classes: 1000 },
    Network { name: "vgg16", batch: 4, input: IMAGENET, classes: 1000 },
    Network { name: "googlenet", batch: 16, input: IMAGENET, classes: 1000 },
    Network { name: "resnet18", batch: 16, input: IMAGENET, classes: 1000 },
    Network { name: "resnet50", batch: 8, input: IMAGENET, classes: 1000 },
];

impl Network {
    /// The network with new parameters. GoogLeNet has no auxiliary heads here, as with the peers.
    ///
    /// # Errors
    /// The device has no room.
    pub fn build(&self, device: &Device) -> Result<Box<dyn Classifier>> {
        let init = Init::new(device, Rng::new(1));
        if self.name == "googlenet" {
            let config =
                GoogLeNetConfig { aux_logits: false, ..GoogLeNetConfig::new(self.classes) };
            return Ok(Box::new(GoogLeNet::new(&init, config)?));
        }
        zoo::build(self.name, &init, self.classes)
    }

    /// The sizes `[N, C, H, W]` of a batch of images.
    #[must_use]
    pub fn images(&self, batch: usize) -> [usize; 4] {
        let [c, h, w] = self.input;
        [batch, c, h, w]
    }

    /// What the network does to a batch, layer by layer. Nothing is computed for it.
    ///
    /// ```
    /// let resnet18 = ferrotape_benches::zoo::NETWORKS[4];
    /// assert_eq!(resnet18.summary(1)?.multiply_adds(), 1_814_073_344);
    /// # Ok::<(), ferrotape::Error>(())
    /// ```
    ///
    /// # Errors
    /// The network does not take such images.
    pub fn summary(&self, batch: usize) -> Result<Summary> {
        let device = Device::new(Meta::new());
        let input = Array::zeros(&device, DType::F32, self.images(batch))?;
        Summary::of(&self.build(&device)? as &dyn Layer, input)
    }

    /// Floating-point operations of a forward pass: two for each multiply-add of a convolution or a
    /// matrix product.
    ///
    /// # Errors
    /// As [`Network::summary`].
    pub fn forward_flops(&self, batch: usize) -> Result<u64> {
        Ok(2 * self.summary(batch)?.multiply_adds())
    }

    /// Floating-point operations of a training step: those of the forward pass three times, for the
    /// gradients of inputs and of weights each cost as much, less the gradient of the images, which
    /// nobody asks for.
    ///
    /// # Errors
    /// As [`Network::summary`].
    pub fn training_flops(&self, batch: usize) -> Result<u64> {
        let summary = self.summary(batch)?;
        let first = summary.rows.iter().find(|row| is_convolution(row));
        let unasked = first.map_or(0, |row| row.multiply_adds);
        Ok(2 * (3 * summary.multiply_adds() - unasked))
    }
}

/// Whether the row of a summary is a convolution.
pub(crate) fn is_convolution(row: &Row) -> bool {
    row.kind == "Conv2d"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str) -> Network {
        *NETWORKS.iter().find(|network| network.name == name).unwrap()
    }

    #[test]
    fn every_network_is_as_the_zoo_lists_it() {
        for network in NETWORKS {
            let listed = zoo::find(network.name).unwrap();
            assert_eq!((listed.input, listed.classes), (network.input, network.classes));
        }
    }

    #[test]
    fn forward_passes_cost_what_the_papers_say() {
        // Multiply-adds of one image: counted by hand for LeNet-5, published for the others.
        for (name, multiply_adds) in [
            ("lenet5", 416_520),
            ("alexnet", 714_188_480),
            ("vgg16", 15_470_264_320),
            ("resnet18", 1_814_073_344),
            ("resnet50", 4_089_184_256),
        ] {
            let network = network(name);
            assert_eq!(network.forward_flops(1).unwrap(), 2 * multiply_adds, "{name}");
            let batch = network.batch;
            assert_eq!(network.forward_flops(batch).unwrap(), 2 * multiply_adds * batch as u64);
        }
    }

    #[test]
    fn a_training_step_leaves_out_the_gradient_of_the_images() {
        // LeNet-5's first convolution: 6 maps of 28 x 28 with 25 multiply-adds each.
        let lenet5 = network("lenet5");
        let first = 6 * 28 * 28 * 25;
        assert_eq!(lenet5.training_flops(1).unwrap(), 2 * (3 * 416_520 - first));
    }

    #[test]
    fn googlenet_has_no_auxiliary_heads() {
        let device = Device::new(Meta::new());
        assert_eq!(network("googlenet").build(&device).unwrap().count_parameters(), 6_624_904);
    }
}

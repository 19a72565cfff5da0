//! The work of single kernels, as the networks of [`zoo`](crate::zoo) have it: nothing is typed in
//! by hand, and what an earlier network has at the same batch is not repeated.

use std::collections::HashSet;
use std::hash::Hash;

use ferrotape::backend::{Conv2d, Pool2d, Shape};
use ferrotape::nn::{Row, Window};
use ferrotape::{Error, Result};

use crate::zoo::{NETWORKS, Network, is_convolution};

/// A convolution of a network. Whether a bias is added makes no difference to which are distinct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Convolution {
    /// The network and the layer's path, such as `alexnet.features.0`.
    pub layer: String,
    /// The sizes of the input, `[N, C, H, W]`.
    pub x: [usize; 4],
    /// The sizes of the weight, `[O, C / groups, KH, KW]`.
    pub w: [usize; 4],
    /// The sizes of the output, `[N, O, OH, OW]`.
    pub y: [usize; 4],
    /// Stride, padding, dilation and groups.
    pub params: Conv2d,
    /// Whether it reads the images, so that the gradient of its input is never computed.
    pub reads_images: bool,
}

impl Convolution {
    /// Floating-point operations of the forward pass, which are those of each gradient too: two for
    /// each element of the output and of the window that it sees.
    #[must_use]
    pub fn flops(&self) -> u64 {
        let elements = |sizes: &[usize]| sizes.iter().map(|&size| size as u64).product::<u64>();
        2 * elements(&self.y) * elements(&self.w[1..])
    }
}

/// The distinct convolutions of the networks.
///
/// ```
/// let convolutions = ferrotape_benches::shapes::convolutions()?;
/// assert_eq!(convolutions[1].layer, "lenet5.conv2");
/// assert_eq!(convolutions[1].w, [16, 6, 5, 5]);
/// # Ok::<(), ferrotape::Error>(())
/// ```
///
/// # Errors
/// A network that cannot be passed through.
pub fn convolutions() -> Result<Vec<Convolution>> {
    let mut seen = Seen::default();
    each_row(|network, row| {
        if !is_convolution(row) {
            return Ok(None);
        }
        let (x, window) = (image_input(row)?, moved(row)?);
        let (y, [kh, kw]) = (row.shape.nchw()?, window.kernel);
        // The summary does not say how many groups there are, but what they leave to do.
        let dense = (y.iter().product::<usize>() * x[1] * kh * kw) as u64;
        let groups = dense.checked_div(row.multiply_adds).unwrap_or(1) as usize;
        let convolution = Convolution {
            layer: layer(network, row),
            x,
            w: [y[1], x[1] / groups, kh, kw],
            y,
            params: Conv2d {
                stride: window.stride,
                padding: window.padding,
                dilation: window.dilation,
                groups,
            },
            reads_images: x == network.images(network.batch),
        };
        let is_new = seen.is_new((convolution.x, convolution.w, convolution.params));
        Ok(is_new.then_some(convolution))
    })
}

/// A linear layer of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    /// The network and the layer's path, such as `vgg16.classifier.0`.
    pub layer: String,
    /// Rows of the input.
    pub batch: usize,
    /// Features that come in.
    pub inputs: usize,
    /// Features that go out.
    pub outputs: usize,
}

impl Linear {
    /// Floating-point operations of the forward pass, and of each gradient.
    #[must_use]
    pub fn flops(&self) -> u64 {
        2 * (self.batch * self.inputs * self.outputs) as u64
    }
}

/// The distinct linear layers of the networks.
///
/// ```
/// let linears = ferrotape_benches::shapes::linears()?;
/// assert_eq!((linears[0].batch, linears[0].inputs, linears[0].outputs), (64, 400, 120));
/// # Ok::<(), ferrotape::Error>(())
/// ```
///
/// # Errors
/// A network that cannot be passed through.
pub fn linears() -> Result<Vec<Linear>> {
    let mut seen = Seen::default();
    each_row(|network, row| {
        if row.kind != "Linear" {
            return Ok(None);
        }
        let (Some(&[batch, inputs]), &[_, outputs]) =
            (row.input.as_ref().map(|shape| shape.dims()), row.shape.dims())
        else {
            return Err(Error::shape(format!(
                "{} is not of rows and columns",
                layer(network, row)
            )));
        };
        let is_new = seen.is_new((batch, inputs, outputs));
        Ok(is_new.then(|| Linear { layer: layer(network, row), batch, inputs, outputs }))
    })
}

/// Which number a pooling makes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolKind {
    /// The largest.
    Maximum,
    /// The mean.
    Average,
}

/// A pooling of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pooling {
    /// The network and the layer's path, such as `resnet18.maxpool`.
    pub layer: String,
    /// What becomes of a window.
    pub kind: PoolKind,
    /// The sizes of the input, `[N, C, H, W]`.
    pub x: [usize; 4],
    /// The sizes of the output, `[N, C, OH, OW]`.
    pub y: [usize; 4],
    /// Kernel, stride and padding.
    pub params: Pool2d,
}

/// The distinct poolings of the networks; those that leave every pixel alone are left out.
///
/// ```
/// use ferrotape_benches::shapes::{PoolKind, poolings};
///
/// let poolings = poolings()?;
/// assert_eq!((poolings[0].kind, poolings[0].x), (PoolKind::Average, [64, 6, 28, 28]));
/// # Ok::<(), ferrotape::Error>(())
/// ```
///
/// # Errors
/// A network that cannot be passed through.
pub fn poolings() -> Result<Vec<Pooling>> {
    let mut seen = Seen::default();
    let mut before = None;
    each_row(|network, row| {
        // What an operation between layers reads is what the row before it gives.
        let before = before.replace(row.shape);
        let (kind, x) = match row.kind {
            "MaxPool2d" => (PoolKind::Maximum, row.input),
            "AvgPool2d" | "AdaptiveAvgPool2d" => (PoolKind::Average, row.input),
            "avg_pool2d" => (PoolKind::Average, before),
            _ => return Ok(None),
        };
        let (x, y) = (x.ok_or_else(|| unknown_input(row))?.nchw()?, row.shape.nchw()?);
        let params = match row.window {
            Some(window) => pool_params(&window, x, y)?,
            None => Pool2d::new([x[2] / y[2].max(1), x[3] / y[3].max(1)]),
        };
        if params.kernel == [1, 1] || !seen.is_new((kind, x, params)) {
            return Ok(None);
        }
        Ok(Some(Pooling { layer: layer(network, row), kind, x, y, params }))
    })
}

/// The pooling that moves this window; the sizes tell whether it rounds up.
fn pool_params(window: &Window, x: [usize; 4], y: [usize; 4]) -> Result<Pool2d> {
    let params = Pool2d {
        stride: window.stride,
        padding: window.padding,
        dilation: window.dilation,
        ..Pool2d::new(window.kernel)
    };
    let ceil_mode = params.output_size([x[2], x[3]])? != [y[2], y[3]];
    Ok(Pool2d { ceil_mode, ..params })
}

/// Feature maps of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maps {
    /// The network and the layer's path, such as `resnet18.bn1`.
    pub layer: String,
    /// `[N, C, H, W]`.
    pub shape: [usize; 4],
}

/// The distinct feature maps that the batch norms of the residual networks normalise. GoogLeNet's
/// are many and lie between these in size.
///
/// ```
/// let norms = ferrotape_benches::shapes::norms()?;
/// assert_eq!((norms[0].layer.as_str(), norms[0].shape), ("resnet18.bn1", [16, 64, 112, 112]));
/// # Ok::<(), ferrotape::Error>(())
/// ```
///
/// # Errors
/// A network that cannot be passed through.
pub fn norms() -> Result<Vec<Maps>> {
    let mut seen = Seen::default();
    each_row(|network, row| {
        if row.kind != "BatchNorm2d" || !network.name.starts_with("resnet") {
            return Ok(None);
        }
        let shape = row.shape.nchw()?;
        Ok(seen.is_new(shape).then(|| Maps { layer: layer(network, row), shape }))
    })
}

/// The sizes of what the layer of this name gives, at the network's batch.
///
/// ```
/// let shape = ferrotape_benches::shapes::output_of("resnet18.layer1.0.conv1")?;
/// assert_eq!(shape.dims(), [16, 64, 56, 56]);
/// # Ok::<(), ferrotape::Error>(())
/// ```
///
/// # Errors
/// There is no such layer.
pub fn output_of(name: &str) -> Result<Shape> {
    let found = each_row(|network, row| Ok((layer(network, row) == name).then_some(row.shape)))?;
    let missing = || Error::argument(format!("no network that is measured has a layer '{name}'"));
    found.first().copied().ok_or_else(missing)
}

/// What `pick` keeps of all rows of all networks' summaries, in order.
fn each_row<T>(mut pick: impl FnMut(&Network, &Row) -> Result<Option<T>>) -> Result<Vec<T>> {
    let mut picked = Vec::new();
    for network in &NETWORKS {
        for row in &network.summary(network.batch)?.rows {
            picked.extend(pick(network, row)?);
        }
    }
    Ok(picked)
}

/// The network and the layer's path; for an operation of the network itself, the operation's name.
fn layer(network: &Network, row: &Row) -> String {
    match row.path.as_str() {
        "" => format!("{}.{}", network.name, row.kind),
        path => format!("{}.{path}", network.name),
    }
}

fn image_input(row: &Row) -> Result<[usize; 4]> {
    row.input.ok_or_else(|| unknown_input(row))?.nchw()
}

fn unknown_input(row: &Row) -> Error {
    Error::shape(format!("the summary does not say what {} reads", row.path))
}

fn moved(row: &Row) -> Result<Window> {
    row.window.ok_or_else(|| Error::shape(format!("{} moves no window", row.path)))
}

/// What was there before.
struct Seen<K>(HashSet<K>);

impl<K> Default for Seen<K> {
    fn default() -> Self {
        Seen(HashSet::new())
    }
}

impl<K: Eq + Hash> Seen<K> {
    fn is_new(&mut self, key: K) -> bool {
        self.0.insert(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(network: &str) -> Vec<Convolution> {
        let mut all = convolutions().unwrap();
        all.retain(|convolution| convolution.layer.starts_with(&format!("{network}.")));
        all
    }

    #[test]
    fn the_convolutions_of_the_papers_are_all_there_once() {
        // VGG-16 has 13, of which 3-3, 4-3, 5-2 and 5-3 repeat the one before.
        for (network, count) in [("lenet5", 2), ("alexnet", 5), ("vgg16", 9)] {
            assert_eq!(of(network).len(), count, "{network}");
        }
        // ResNet-18: 3x3 at 4 sizes, and with stride 2 between them, and the projections; its stem is
        // GoogLeNet's, at the same batch.
        let resnet18 = of("resnet18");
        assert_eq!(resnet18.len(), 4 + 3 + 3);
        assert!(resnet18.iter().all(|convolution| !convolution.reads_images));
        for list in [of("alexnet"), of("vgg16"), of("googlenet"), of("resnet50")] {
            let reading: Vec<_> = list.iter().map(|c| c.reads_images).collect();
            assert!(reading[0] && !reading[1..].contains(&true));
        }
    }

    #[test]
    fn sizes_fit_each_other_and_add_up_to_what_the_summary_counts() {
        for convolution in convolutions().unwrap() {
            let Convolution { layer, x, w, y, params, .. } = &convolution;
            assert_eq!(params.output_shape(*x, *w).unwrap(), *y, "{layer}");
        }
        let lenet5: u64 = of("lenet5").iter().map(Convolution::flops).sum();
        assert_eq!(lenet5, 2 * 64 * (6 * 28 * 28 * 25 + 16 * 10 * 10 * 6 * 25));
    }

    #[test]
    fn stems_have_their_stride_and_padding() {
        let stem = &of("resnet50")[0];
        assert_eq!((stem.layer.as_str(), stem.w), ("resnet50.conv1", [64, 3, 7, 7]));
        assert_eq!((stem.params.stride, stem.params.padding), ([2, 2], [3, 3]));
        assert_eq!(stem.params.groups, 1);
    }

    #[test]
    fn linear_layers_are_those_of_the_classifiers() {
        let linears = linears().unwrap();
        let count = |network: &str| linears.iter().filter(|l| l.layer.starts_with(network)).count();
        assert_eq!(["lenet5", "alexnet", "vgg16"].map(count), [3, 3, 3]);
        assert_eq!(["googlenet", "resnet18", "resnet50"].map(count), [1, 1, 1]);
        assert_eq!(linears[3].flops(), 2 * 16 * 9216 * 4096);
    }

    #[test]
    fn poolings_fit_their_outputs_and_round_up_where_the_network_does() {
        let poolings = poolings().unwrap();
        for Pooling { layer, x, y, params, .. } in &poolings {
            assert_eq!(params.output_size([x[2], x[3]]).unwrap(), [y[2], y[3]], "{layer}");
        }
        let find = |name: &str| poolings.iter().find(|pooling| pooling.layer == name).unwrap();
        assert!(find("googlenet.maxpool1").params.ceil_mode);
        assert!(!find("resnet18.maxpool").params.ceil_mode);
        // ResNet's last pooling is no layer; GoogLeNet's is.
        for (name, channels) in [("resnet18.avg_pool2d", 512), ("googlenet.avgpool", 1024)] {
            let last = find(name);
            assert_eq!((last.kind, last.params.kernel), (PoolKind::Average, [7, 7]));
            assert_eq!(last.x[1], channels);
        }
        // AlexNet's and VGG's adaptive pools leave 6x6 and 7x7 as they are.
        assert!(
            !poolings.iter().any(|p| p.layer == "alexnet.avgpool" || p.layer == "vgg16.avgpool")
        );
    }

    #[test]
    fn an_unknown_layer_is_named() {
        assert!(output_of("resnet18.conv9").unwrap_err().to_string().contains("conv9"));
    }
}

//! Attributes of convolution and pooling, with sizes that they fit.

use ferrotape_backend::{Conv2d, Pool2d};
use proptest::array::uniform2;
use proptest::prelude::any;
use proptest::strategy::Strategy;

/// A convolution and the shapes of its operands.
///
/// ```
/// use ferrotape_backend::Conv2d;
/// use ferrotape_gradcheck::strategy::Conv2dCase;
///
/// let params = Conv2d { groups: 2, ..Conv2d::default() };
/// let (input, weight) = (vec![1, 4, 5, 5], vec![6, 2, 3, 3]);
/// let case = Conv2dCase { params, input, weight, bias: true };
/// assert_eq!(case.shapes(), [vec![1, 4, 5, 5], vec![6, 2, 3, 3], vec![6]]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Conv2dCase {
    /// Stride, padding, dilation, groups.
    pub params: Conv2d,
    /// `[N, C, H, W]`.
    pub input: Vec<usize>,
    /// `[O, C / groups, KH, KW]`.
    pub weight: Vec<usize>,
    /// Whether there is a bias `[O]`.
    pub bias: bool,
}

impl Conv2dCase {
    /// The shapes of all operands, in the order of a call.
    ///
    /// ```
    /// use ferrotape_gradcheck::strategy::{conv2d, for_all};
    ///
    /// for_all(conv2d(), |case| {
    ///     assert_eq!(case.shapes().len(), if case.bias { 3 } else { 2 });
    ///     Ok(())
    /// });
    /// ```
    pub fn shapes(&self) -> Vec<Vec<usize>> {
        let mut shapes = vec![self.input.clone(), self.weight.clone()];
        if self.bias {
            shapes.push(vec![self.weight[0]]);
        }
        shapes
    }
}

/// Convolutions of all strides, paddings, dilations and groups (depthwise too), asymmetric, over
/// inputs from the smallest that fits; C = H = W is likely.
///
/// ```
/// use ferrotape_gradcheck::strategy::{conv2d, for_all};
///
/// for_all(conv2d(), |case| {
///     let sizes = |shape: &[usize]| [shape[0], shape[1], shape[2], shape[3]];
///     case.params.output_shape(sizes(&case.input), sizes(&case.weight))?;
///     Ok(())
/// });
/// ```
pub fn conv2d() -> impl Strategy<Value = Conv2dCase> {
    let channels = (1..=3usize, 1..=2usize, 1..=2usize);
    let window =
        (uniform2(1..=3usize), uniform2(1..=3usize), uniform2(0..=2usize), uniform2(1..=2usize));
    let rest = (1..=2usize, uniform2(0..=3usize), any::<bool>(), 0..4u8);
    (channels, window, rest).prop_map(|(channels, window, rest)| {
        let (groups, per_group, out_per_group) = channels;
        let (kernel, stride, padding, dilation) = window;
        let (batch, extra, bias, equal) = rest;
        let params = Conv2d { stride, padding, dilation, groups };
        let mut size = [0, 1].map(|axis| {
            let reach = (kernel[axis] - 1) * dilation[axis] + 1;
            reach.saturating_sub(2 * padding[axis]).max(1) + extra[axis]
        });
        let mut per_group = per_group;
        if equal == 3 {
            // The smallest C = H = W that the window fits in and the groups divide.
            let least = size[0].max(size[1]).max(groups * per_group);
            let side = least.div_ceil(groups) * groups;
            (size, per_group) = ([side, side], side / groups);
        }
        let input = vec![batch, groups * per_group, size[0], size[1]];
        let weight = vec![groups * out_per_group, per_group, kernel[0], kernel[1]];
        Conv2dCase { params, input, weight, bias }
    })
}

/// A pooling and the shape of its input.
///
/// ```
/// use ferrotape_backend::Pool2d;
/// use ferrotape_gradcheck::strategy::Pool2dCase;
///
/// let case = Pool2dCase { params: Pool2d::new([2, 2]), input: vec![1, 3, 8, 8] };
/// assert_eq!(case.params.output_size([8, 8])?, [4, 4]);
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Pool2dCase {
    /// Window, stride, padding, dilation, rounding, divisor.
    pub params: Pool2d,
    /// `[N, C, H, W]`.
    pub input: Vec<usize>,
}

/// Maximum poolings: overlapping and gapped, dilated, padded, with and without `ceil_mode`, each
/// window with at least one pixel.
///
/// ```
/// use ferrotape_gradcheck::strategy::{for_all, max_pool2d};
///
/// for_all(max_pool2d(), |case| {
///     case.params.output_size([case.input[2], case.input[3]])?;
///     Ok(())
/// });
/// ```
pub fn max_pool2d() -> impl Strategy<Value = Pool2dCase> {
    pool2d(2)
}

/// Average poolings, as [`max_pool2d`], undilated, with the divisor counted either way.
///
/// ```
/// use ferrotape_gradcheck::strategy::{avg_pool2d, for_all};
///
/// for_all(avg_pool2d(), |case| {
///     assert_eq!(case.params.dilation, [1, 1]);
///     Ok(())
/// });
/// ```
pub fn avg_pool2d() -> impl Strategy<Value = Pool2dCase> {
    pool2d(1)
}

fn pool2d(max_dilation: usize) -> impl Strategy<Value = Pool2dCase> {
    let window = (
        uniform2(1..=3usize),
        uniform2(1..=3usize),
        uniform2(0..=1usize),
        uniform2(1..=max_dilation),
    );
    let flags = (any::<bool>(), any::<bool>(), 0..4u8);
    let sizes = (1..=2usize, 1..=3usize, uniform2(0..=4usize));
    (window, flags, sizes).prop_map(|(window, flags, (batch, mut channels, extra))| {
        let (kernel, stride, mut padding, dilation) = window;
        let (ceil_mode, count_include_pad, equal) = flags;
        let mut size = [0; 2];
        for axis in 0..2 {
            padding[axis] = padding[axis].min(kernel[axis] / 2);
            let reach = (kernel[axis] - 1) * dilation[axis] + 1;
            let least = reach.saturating_sub(2 * padding[axis]);
            size[axis] = least.max(dilation[axis]) + extra[axis];
        }
        if equal == 3 {
            channels = size[0].max(size[1]).min(4);
            size = [size[0].max(channels), size[0].max(channels).max(size[1])];
        }
        let params = Pool2d { kernel, stride, padding, dilation, ceil_mode, count_include_pad };
        Pool2dCase { params, input: vec![batch, channels, size[0], size[1]] }
    })
}

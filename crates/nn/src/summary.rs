//! A table of a model's layers, from one traced pass.

use std::collections::{HashMap, HashSet};
use std::fmt;

use ferrotape_autograd::NodeInfo;
use ferrotape_backend::{Array, Error, Result, Shape};

use crate::pass::{Call, Window};
use crate::{Item, Layer, Pass, Path, Visitor};

/// One line of a [`Summary`]: a layer, or an operation that a model does between its layers.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Conv2dConfig, Init, Row, Sequential, Summary};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let model = Sequential::new(&init).named("conv", Conv2dConfig::new(1, 2, 3))?;
/// let summary = Summary::of(&model, Array::zeros(&device, DType::F32, [1, 1, 5, 5])?)?;
/// let Row { path, kind, shape, parameters, activation_bytes, .. } = &summary.rows[0];
/// assert_eq!((path.as_str(), *kind), ("conv", "Conv2d"));
/// // 2 kernels of 3x3 and 2 biases; 2 channels of 3x3 pixels of 4 bytes.
/// assert_eq!((shape.dims(), *parameters, *activation_bytes), (&[1, 2, 3, 3][..], 20, 72));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The path of the layer; for an operation, of the layer that does it.
    pub path: Path,
    /// The layer's [`Module::kind`](crate::Module::kind), or the operation's name.
    pub kind: &'static str,
    /// The sizes of the output.
    pub shape: Shape,
    /// Elements of the layer's own parameters. Tied ones count where they first occur.
    pub parameters: usize,
    /// Multiply-adds of convolutions and matrix products.
    pub multiply_adds: u64,
    /// Bytes of the output.
    pub activation_bytes: usize,
    /// How many pixels of the input, `[vertical, horizontal]`, one pixel of the output depends on;
    /// `None` where the output is no image.
    pub receptive_field: Option<[usize; 2]>,
    /// The window that the layer moves over its input, if it does.
    pub window: Option<Window>,
    /// The sizes of what the layer reads, if that came from the model's input.
    pub input: Option<Shape>,
}

impl Row {
    /// How the height of the output follows from that of the input, and the width where it differs:
    /// `(H - k + 2 p) / s + 1`, where a dilated kernel counts with the pixels it spans.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Conv2dConfig, Init, Sequential, Summary};
    ///
    /// let device = Device::new(Reference::new());
    /// let model = Sequential::new(&Init::new(&device, Rng::new(1)))
    ///     .add(Conv2dConfig::new(1, 2, 7).stride(2).padding(3))?;
    /// let summary = Summary::of(&model, Array::zeros(&device, DType::F32, [1, 1, 28, 28])?)?;
    /// assert_eq!(summary.rows[0].arithmetic().unwrap(), "(28 - 7 + 2*3) / 2 + 1 = 14");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn arithmetic(&self) -> Option<String> {
        let (window, input) = (self.window?, self.input?);
        let (from, to) = (input.nchw().ok()?, self.shape.nchw().ok()?);
        let along = |axis: usize| {
            let span = window.kernel[axis].saturating_sub(1) * window.dilation[axis] + 1;
            let padding = match window.padding[axis] {
                0 => String::new(),
                padding => format!(" + 2*{padding}"),
            };
            let (size, stride, result) = (from[2 + axis], window.stride[axis], to[2 + axis]);
            format!("({size} - {span}{padding}) / {stride} + 1 = {result}")
        };
        let (height, width) = (along(0), along(1));
        Some(if height == width { height } else { format!("{height}, {width}") })
    }
}

/// What a model does to one input, layer by layer.
///
/// The receptive field follows the recurrence of Araujo et al. 2019, equation 2: a window of `k`
/// pixels `d` apart makes it larger by `(k - 1) d` times the product of the strides before; where
/// branches meet, the largest counts.
///
/// ```
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Conv2dConfig, Init, Sequential, Summary};
///
/// let device = Device::new(Reference::new());
/// let model = Sequential::new(&Init::new(&device, Rng::new(1)))
///     .add(Conv2dConfig::new(1, 2, 3).stride(2))?
///     .add(Conv2dConfig::new(2, 2, 3))?;
/// let summary = Summary::of(&model, Array::zeros(&device, DType::F32, [1, 1, 9, 9])?)?;
/// assert_eq!(summary.rows[1].receptive_field, Some([7, 7]));
/// assert_eq!(summary.multiply_adds(), 4 * 4 * 2 * 9 + 2 * 2 * 2 * 2 * 9);
/// println!("{summary}");
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The layers and operations, in the order of computing.
    pub rows: Vec<Row>,
    /// Elements of all parameters.
    pub parameters: usize,
}

impl Summary {
    /// Runs the model once on `input`, in evaluation mode and without changing it.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, LinearConfig, Sequential, Summary};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let model = Sequential::new(&init).named("fc", LinearConfig::new(3, 2))?;
    /// let summary = Summary::of(&model, Array::zeros(&device, DType::F32, [1, 3])?)?;
    /// assert_eq!((summary.parameters, summary.rows[0].path.as_str()), (8, "fc"));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the model says of the input; an input whose work is beyond counting.
    pub fn of(model: &dyn Layer, input: Array) -> Result<Self> {
        let cx = Pass::eval(input.device()).without_effects().trace();
        let shape = *input.shape();
        let x = cx.input(input)?;
        model.forward(&cx, &x)?;
        let nodes = cx.tape().nodes();
        let calls = innermost(cx.calls());
        let fields = fields(&nodes, &calls, x.node().map(|node| node.index()));
        let mut parameters = parameters(model);

        // Rows are sorted by the node they begin at; a layer that does nothing has none.
        let mut rows: Vec<(usize, Row)> = Vec::new();
        let mut covered = HashSet::new();
        for call in &calls {
            covered.extend(call.nodes.clone());
            let own = &nodes[call.nodes.clone()];
            let row = Row {
                path: call.path.clone(),
                kind: call.kind,
                shape: call.shape,
                parameters: parameters.remove(&call.path).unwrap_or(0),
                multiply_adds: total(own.iter().map(|node| node.multiply_adds)),
                activation_bytes: call.shape.numel().saturating_mul(call.dtype.size()),
                receptive_field: call
                    .nodes
                    .clone()
                    .next_back()
                    .and_then(|last| fields[last].image(&call.shape)),
                window: call.window,
                // What it reads that was there before it; its parameters come with it.
                input: own
                    .iter()
                    .flat_map(|node| node.inputs.iter().flatten())
                    .find(|input| input.index() < call.nodes.start)
                    .map(|input| nodes[input.index()].shape),
            };
            rows.push((call.nodes.start, row));
        }
        for (index, node) in nodes.iter().enumerate() {
            if node.op == "leaf" || covered.contains(&index) {
                continue;
            }
            let row = Row {
                path: Path::new(node.path.as_deref().unwrap_or("")),
                kind: node.op,
                shape: node.shape,
                parameters: 0,
                multiply_adds: node.multiply_adds,
                activation_bytes: node.shape.numel() * node.dtype.size(),
                receptive_field: fields[index].image(&node.shape),
                window: None,
                input: None,
            };
            rows.push((index, row));
        }
        rows.sort_by_key(|(start, _)| *start);
        let rows = rows.into_iter().map(|(_, row)| row).collect();
        let summary = Summary { rows, parameters: model.count_parameters() };
        if summary.multiply_adds() == u64::MAX || summary.activation_bytes() == usize::MAX {
            return Err(Error::argument(format!(
                "the work for an input of {shape} is beyond 2^64 multiply-adds or bytes, which cannot be \
                 counted; give a smaller one"
            )));
        }
        Ok(summary)
    }

    /// Multiply-adds of all rows.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, LinearConfig, Sequential, Summary};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let model = Sequential::new(&init).add(LinearConfig::new(4, 3))?.add(LinearConfig::new(3, 2))?;
    /// let summary = Summary::of(&model, Array::zeros(&device, DType::F32, [5, 4])?)?;
    /// assert_eq!(summary.multiply_adds(), 5 * (4 * 3 + 3 * 2));
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn multiply_adds(&self) -> u64 {
        total(self.rows.iter().map(|row| row.multiply_adds))
    }

    /// Bytes of all rows' outputs.
    ///
    /// ```
    /// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Init, LinearConfig, Sequential, Summary};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let model = Sequential::new(&init).add(LinearConfig::new(4, 3))?.add(LinearConfig::new(3, 2))?;
    /// let summary = Summary::of(&model, Array::zeros(&device, DType::F32, [5, 4])?)?;
    /// // The bias is added within the product, so that each layer has one output.
    /// assert_eq!(summary.activation_bytes(), 5 * (3 + 2) * 4);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    #[must_use]
    pub fn activation_bytes(&self) -> usize {
        self.rows.iter().fold(0, |sum, row| sum.saturating_add(row.activation_bytes))
    }
}

/// A sum that stays at the largest number where it would pass it.
fn total(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

/// The calls that no other is inside of. A call follows those inside of it, so one that has any
/// stands right after its last, which is one level deeper.
fn innermost(calls: Vec<Call>) -> Vec<Call> {
    let mut before = None;
    calls
        .into_iter()
        .filter(|call| before.replace(call.depth).is_none_or(|depth| depth <= call.depth))
        .collect()
}

/// Elements of the parameters that each layer has itself, by its path.
fn parameters(model: &dyn Layer) -> HashMap<Path, usize> {
    let (mut seen, mut counts) = (HashSet::new(), HashMap::new());
    let mut each = |name: &str, item: Item<'_>| {
        if let Item::Parameter(parameter) = item
            && seen.insert(parameter.id())
        {
            let owner = model.path().join(Path::new(name).parent().as_str());
            *counts.entry(owner).or_insert(0) += parameter.shape().numel();
        }
    };
    model.visit(&mut Visitor::new(&mut each));
    counts
}

/// What a node sees of the input: how many pixels, and how far apart two neighbours' views are.
#[derive(Debug, Clone, Copy)]
struct Field(Option<([usize; 2], [usize; 2])>);

impl Field {
    fn image(self, shape: &Shape) -> Option<[usize; 2]> {
        self.0.filter(|_| shape.rank() == 4).map(|(size, _)| size)
    }

    fn join(self, other: Field) -> Field {
        match (self.0, other.0) {
            (Some((a, s)), Some((b, t))) => {
                let larger = |x: [usize; 2], y: [usize; 2]| [x[0].max(y[0]), x[1].max(y[1])];
                Field(Some((larger(a, b), larger(s, t))))
            }
            (one, other) => Field(one.or(other)),
        }
    }

    fn through(self, window: &Window) -> Field {
        Field(self.0.map(|(mut size, mut jump)| {
            for axis in 0..2 {
                let reach = window.kernel[axis].saturating_sub(1);
                let reach = reach.saturating_mul(window.dilation[axis]).saturating_mul(jump[axis]);
                size[axis] = size[axis].saturating_add(reach);
                jump[axis] = jump[axis].saturating_mul(window.stride[axis]);
            }
            (size, jump)
        }))
    }
}

/// The field of each node; a layer's window is at its last node.
fn fields(nodes: &[NodeInfo], calls: &[Call], input: Option<usize>) -> Vec<Field> {
    let windows: HashMap<usize, &Window> = calls
        .iter()
        .filter_map(|call| Some((call.nodes.clone().next_back()?, call.window.as_ref()?)))
        .collect();
    let mut fields: Vec<Field> = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let inputs = node.inputs.iter().flatten().map(|input| fields[input.index()]);
        let field = match input == Some(index) {
            true => Field(Some(([1, 1], [1, 1]))),
            false => inputs.fold(Field(None), Field::join),
        };
        fields.push(windows.get(&index).map_or(field, |window| field.through(window)));
    }
    fields
}

/// How many pixels of the input, `[vertical, horizontal]`, one pixel of the output depends on after these
/// windows, the first one first: `1 + sum_l (k_l - 1) d_l s_1 .. s_{l-1}` (Araujo et al. 2019, equation 2).
///
/// ```
/// use ferrotape_nn::{Window, receptive_field};
///
/// let window = |kernel, stride, dilation| Window {
///     kernel: [kernel; 2],
///     stride: [stride; 2],
///     padding: [0; 2],
///     dilation: [dilation; 2],
/// };
/// // Two 3x3 convolutions see what one of 5x5 does; a pooling by two between them adds to that.
/// assert_eq!(receptive_field(&[window(3, 1, 1), window(3, 1, 1)]), [5, 5]);
/// assert_eq!(receptive_field(&[window(3, 1, 1), window(2, 2, 1), window(3, 1, 1)]), [8, 8]);
/// // A dilation of 2 sees 5x5 pixels at the cost of nine.
/// assert_eq!(receptive_field(&[window(3, 1, 2)]), [5, 5]);
/// ```
#[must_use]
pub fn receptive_field(windows: &[Window]) -> [usize; 2] {
    let pixel = Field(Some(([1, 1], [1, 1])));
    let seen = windows.iter().fold(pixel, |field, window| field.through(window));
    seen.0.map_or([1, 1], |(size, _)| size)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head =
            ["layer", "kind", "output", "parameters", "multiply-adds", "bytes", "sees", "size"];
        let mut table: Vec<[String; 8]> = vec![head.map(str::to_owned)];
        for row in &self.rows {
            table.push([
                row.path.to_string(),
                row.kind.to_owned(),
                row.shape.to_string(),
                thousands(row.parameters as u64),
                thousands(row.multiply_adds),
                thousands(row.activation_bytes as u64),
                row.receptive_field.map_or("".into(), |[h, w]| format!("{h}x{w}")),
                row.arithmetic().unwrap_or_default(),
            ]);
        }
        table.push([
            "total".into(),
            String::new(),
            String::new(),
            thousands(self.parameters as u64),
            thousands(self.multiply_adds()),
            thousands(self.activation_bytes() as u64),
            String::new(),
            String::new(),
        ]);
        let mut widths = [0; 8];
        for line in &table {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.len().max(*width);
            }
        }
        for line in &table {
            let mut text = String::new();
            for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
                // Numbers stand to the right.
                let is_number = (3..7).contains(&column);
                let cell = match is_number {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:<width$}"),
                };
                text.push_str(&cell);
                text.push_str("  ");
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

/// `61,706`; nothing for 0.
fn thousands(number: u64) -> String {
    if number == 0 {
        return String::new();
    }
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use ferrotape_autograd::Tensor;
    use ferrotape_backend::{DType, Device, Rng, reference::Reference};

    use super::*;
    use crate::{
        Conv2dConfig, DropoutConfig, Flatten, Init, LinearConfig, PoolConfig, Residual, Sequential,
        activation, max_pool2d,
    };

    #[test]
    fn rows_follow_the_order_of_computing_and_branches_join_at_the_larger_field() {
        let device = Device::new(Reference::new());
        let init = Init::new(&device, Rng::new(1));
        let model = Sequential::new(&init)
            .add(max_pool2d(PoolConfig::new(2)))
            .unwrap()
            .add(|init: &Init| Residual::new(init, Conv2dConfig::new(1, 1, 3).padding(1)))
            .unwrap()
            .add(activation("relu", Tensor::relu))
            .unwrap()
            .add(DropoutConfig::default())
            .unwrap()
            .add(Flatten::new)
            .unwrap()
            .add(LinearConfig::new(16, 3))
            .unwrap();
        let input = Array::zeros(&device, DType::F32, [1, 1, 8, 8]).unwrap();
        let summary = Summary::of(&model, input).unwrap();
        let found: Vec<_> = summary
            .rows
            .iter()
            .map(|r| (r.path.as_str(), r.kind, r.parameters, r.multiply_adds, r.receptive_field))
            .collect();
        let expected = [
            ("0", "MaxPool2d", 0, 0, Some([2, 2])),
            ("1.body", "Conv2d", 10, 144, Some([6, 6])),
            ("1", "add", 0, 0, Some([6, 6])),
            ("2", "relu", 0, 0, Some([6, 6])),
            ("3", "Dropout", 0, 0, None),
            ("4", "Flatten", 0, 0, None),
            ("5", "Linear", 51, 48, None),
        ];
        assert_eq!(found, expected);
        assert_eq!((summary.parameters, summary.multiply_adds()), (61, 192));
        assert_eq!(summary.rows[6].activation_bytes, 12);
        assert!(summary.to_string().lines().last().unwrap().starts_with("total"));
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(thousands(0), "");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(61_706), "61,706");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}

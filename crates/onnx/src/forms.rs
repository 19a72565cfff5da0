//! Each form of an operator as nodes of the standard.

use ferrotape_autograd::{Form, GraphNode, Operand};
use ferrotape_backend::{Array, Conv2d, DType, Error, Pool2d, Reduce, Result, Taps};

use crate::builder::{Builder, code, float, int, ints};
use crate::record::{Records, Size, sizes};

impl Builder<'_> {
    /// The nodes for one operator of the tape, and what its output is called.
    pub(crate) fn form(&mut self, records: &Records, index: usize) -> Result<String> {
        let [node, other] = records.both(index);
        Ok(match (node.form(), other.form()) {
            (Form::Identity, _) => self.operand(node, 0)?,
            (Form::Cast(to), _) => {
                self.of_all(node, "Cast", vec![int("to", code(to)? as usize)])?
            }
            (Form::Pointwise { program, scalars }, _) => self.pointwise(node, program, scalars)?,
            (Form::Conv2d { params, residual, relu, .. }, _) => {
                self.convolution(node, params, [residual, relu])?
            }
            (Form::MaxPool2d(params), _) => {
                let pads = self.window(records, index, &params)?;
                let mut attributes = pooling(&params, pads);
                attributes.push(ints("dilations", &params.dilation));
                self.of_all(node, "MaxPool", attributes)?
            }
            (Form::AvgPool2d(params), _) => self.average(records, index, params)?,
            (Form::BatchNorm { eps, affine, residual, relu }, _) => {
                self.batch_norm(node, eps, [affine, residual, relu])?
            }
            (Form::Linear, _) => self.of_all(node, "Gemm", vec![int("transB", 1)])?,
            (Form::MatMul, _) => self.of_all(node, "MatMul", Vec::new())?,
            (Form::Reshape(a), Form::Reshape(b)) => self.reshape(node, &sizes(&a, &b)?)?,
            (Form::Permute(dims), _) => self.of_all(node, "Transpose", vec![ints("perm", dims)])?,
            (
                Form::Narrow { dim, start, length },
                Form::Narrow { start: other, length: other_length, .. },
            ) => {
                if (start, length) != (other, other_length) {
                    return Err(Error::unsupported("a range depends on the size of the batch"));
                }
                let range = [start, start + length, dim].map(|at| at as i64);
                self.slice(node, range, 1)?
            }
            // From the last position to before the first, which is -1 of the standard's own count from the end.
            (Form::Flip(dim), _) => self.slice(node, [-1, i64::MIN + 1, dim as i64], -1)?,
            (Form::BroadcastTo(a), Form::BroadcastTo(b)) => {
                let from = records.operand_shape(index, 0)?;
                self.expand(node, &from, &sizes(&a, &b)?)?
            }
            (Form::Cat(dim), _) => self.of_all(node, "Concat", vec![int("axis", dim)])?,
            (Form::Pad { margins, value }, _) => self.pad(node, &margins, value)?,
            (Form::Reduce { kind, dims, keepdim }, _) => self.reduce(node, kind, dims, keepdim)?,
            (Form::Softmax { dim, log }, _) => {
                let op = if log { "LogSoftmax" } else { "Softmax" };
                self.of_all(node, op, vec![int("axis", dim)])?
            }
            (Form::Gather { dim }, _) => self.gather(records, index, dim)?,
            (Form::Resample { rows, columns }, _) => self.resample(node, rows, columns)?,
            _ => {
                return Err(Error::unsupported(
                    "it has no form in ONNX that this exporter knows; build the layer of other operators, or leave \
                     it out of what is exported",
                ));
            }
        })
    }

    /// One node that reads all operands in order.
    fn of_all(
        &mut self,
        node: &GraphNode,
        op: &str,
        attributes: Vec<crate::proto::Attribute>,
    ) -> Result<String> {
        let names = self.operands(node)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(self.node(node, op, &names, attributes))
    }

    /// The names of all operands.
    fn operands(&mut self, node: &GraphNode) -> Result<Vec<String>> {
        (0..node.operands.len()).map(|operand| self.operand(node, operand)).collect()
    }

    fn convolution(
        &mut self,
        node: &GraphNode,
        params: Conv2d,
        [residual, relu]: [bool; 2],
    ) -> Result<String> {
        let Conv2d { stride, padding: [top, left], dilation, groups } = params;
        let attributes = vec![
            ints("strides", &stride),
            ints("pads", &[top, left, top, left]),
            ints("dilations", &dilation),
            int("group", groups),
        ];
        let names = self.operands(node)?;
        let inputs = &names[..names.len() - usize::from(residual)];
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let y = self.node(node, "Conv", &inputs, attributes);
        Ok(self.epilogue(node, y, names.last().filter(|_| residual), relu))
    }

    /// The sum with a residual and the ReLU, if they are there.
    fn epilogue(
        &mut self,
        node: &GraphNode,
        mut y: String,
        residual: Option<&String>,
        relu: bool,
    ) -> String {
        if let Some(residual) = residual {
            y = self.node(node, "Add", &[&y, residual], Vec::new());
        }
        if relu {
            y = self.node(node, "Relu", &[&y], Vec::new());
        }
        y
    }

    /// What is added at the end of each dimension so that windows of a pooling fit exactly: `ceil_mode` of
    /// the standard was read in different ways, padding is read in one.
    fn window(&self, records: &Records, index: usize, params: &Pool2d) -> Result<[usize; 2]> {
        let input = records.operand_shape(index, 0)?;
        let output = records.shape(index)?;
        let mut pads = [0; 2];
        for axis in 0..2 {
            let [Size::Fixed(from), Size::Fixed(to)] = [input[axis + 2], output[axis + 2]] else {
                return Err(Error::unsupported("an image's size depends on the batch"));
            };
            let reach = params.dilation[axis] * (params.kernel[axis] - 1) + 1;
            let end = to.saturating_sub(1) * params.stride[axis] + reach;
            pads[axis] = end.saturating_sub(from + params.padding[axis]);
        }
        Ok(pads)
    }

    fn average(&mut self, records: &Records, index: usize, params: Pool2d) -> Result<String> {
        let node = records.node(index);
        let pads = self.window(records, index, &params)?;
        let has_padding = params.padding != [0, 0];
        // What lies beyond the padding never counts; padding itself does if it is to.
        let counts = params.count_include_pad && has_padding;
        let exceeds = (0..2).any(|axis| pads[axis] > params.padding[axis]);
        if counts && exceeds {
            return Err(Error::unsupported(
                "an average counts its padding, but not what ceil_mode adds to it, which ONNX cannot say; leave \
                 one of them out",
            ));
        }
        let pads = if counts { params.padding } else { pads };
        let mut attributes = pooling(&params, pads);
        attributes.push(int("count_include_pad", usize::from(counts)));
        self.of_all(node, "AveragePool", attributes)
    }

    fn batch_norm(
        &mut self,
        node: &GraphNode,
        eps: f64,
        [affine, residual, relu]: [bool; 3],
    ) -> Result<String> {
        let names = self.operands(node)?;
        let [x, mean, var, rest @ ..] = &names[..] else {
            return Err(Error::unsupported("a batch norm without statistics"));
        };
        let channels = node.shape[1];
        let (scale, shift) = match rest {
            [scale, shift, ..] if affine => (scale.clone(), shift.clone()),
            _ => (
                self.numbers(node.dtype, &[channels], &vec![1.0; channels])?,
                self.numbers(node.dtype, &[channels], &vec![0.0; channels])?,
            ),
        };
        let inputs = [x, &scale, &shift, mean, var].map(String::as_str);
        let y = self.node(node, "BatchNormalization", &inputs, vec![float("epsilon", eps)]);
        Ok(self.epilogue(node, y, names.last().filter(|_| residual), relu))
    }

    fn reshape(&mut self, node: &GraphNode, to: &[Size]) -> Result<String> {
        let size = |size: &Size| match *size {
            Size::Fixed(0) => Err(Error::unsupported("a shape without elements")),
            Size::Fixed(size) => Ok(size as i64),
            Size::Batch(_) => Ok(-1),
        };
        let shape = to.iter().map(size).collect::<Result<Vec<_>>>()?;
        if shape.iter().filter(|&&size| size < 0).count() > 1 {
            return Err(Error::unsupported("several sizes of a shape depend on the batch"));
        }
        let x = self.operand(node, 0)?;
        let shape = self.integers("shape", &shape);
        Ok(self.node(node, "Reshape", &[&x, &shape], Vec::new()))
    }

    /// A range of one dimension, `[from, to, dim]`.
    fn slice(&mut self, node: &GraphNode, range: [i64; 3], step: i64) -> Result<String> {
        let x = self.operand(node, 0)?;
        let [from, to, dim] = range;
        let lists = [("start", from), ("end", to), ("axis", dim), ("step", step)];
        let [from, to, dim, step] = lists.map(|(what, value)| self.integers(what, &[value]));
        Ok(self.node(node, "Slice", &[&x, &from, &to, &dim, &step], Vec::new()))
    }

    fn expand(&mut self, node: &GraphNode, from: &[Size], to: &[Size]) -> Result<String> {
        let ahead = to.len() - from.len();
        let size = |(at, size): (usize, &Size)| match *size {
            Size::Fixed(size) => Ok(size as i64),
            // A size that the operand has already is kept by 1.
            batch if at >= ahead && from[at - ahead] == batch => Ok(1),
            Size::Batch(_) => {
                Err(Error::unsupported("something is repeated for each image of a batch"))
            }
        };
        let shape = to.iter().enumerate().map(size).collect::<Result<Vec<_>>>()?;
        let x = self.operand(node, 0)?;
        let shape = self.integers("shape", &shape);
        Ok(self.node(node, "Expand", &[&x, &shape], Vec::new()))
    }

    fn pad(
        &mut self,
        node: &GraphNode,
        margins: &[(usize, usize, usize)],
        value: f64,
    ) -> Result<String> {
        let rank = node.shape.rank();
        let mut pads = vec![0; 2 * rank];
        for &(dim, before, behind) in margins {
            pads[dim] = before as i64;
            pads[rank + dim] = behind as i64;
        }
        let x = self.operand(node, 0)?;
        let pads = self.integers("pads", &pads);
        let value = self.numbers(node.dtype, &[], &[value])?;
        Ok(self.node(node, "Pad", &[&x, &pads, &value], Vec::new()))
    }

    fn reduce(
        &mut self,
        node: &GraphNode,
        kind: Reduce,
        dims: &[usize],
        keepdim: bool,
    ) -> Result<String> {
        let x = self.operand(node, 0)?;
        let keep = int("keepdims", usize::from(keepdim));
        let op = match kind {
            Reduce::Max => "ReduceMax",
            Reduce::Min => "ReduceMin",
            Reduce::Sum => {
                let dims: Vec<i64> = dims.iter().map(|&dim| dim as i64).collect();
                let dims = self.integers("axes", &dims);
                return Ok(self.node(node, "ReduceSum", &[&x, &dims], vec![keep]));
            }
        };
        Ok(self.node(node, op, &[&x], vec![ints("axes", dims), keep]))
    }

    /// Indices that are the same for all positions of other dimensions are a list.
    fn gather(&mut self, records: &Records, index: usize, dim: usize) -> Result<String> {
        let lists = records.both(index).map(|node| match &node.operands[1] {
            Operand::Constant(indices) => list_along(indices, dim),
            Operand::Node(_) => Err(Error::unsupported("its indices are computed")),
        });
        let [list, other] = lists;
        let list = list?;
        if list != other? {
            return Err(Error::unsupported("its indices depend on the size of the batch"));
        }
        let node = records.node(index);
        let x = self.operand(node, 0)?;
        let indices = self.integers("indices", &list);
        Ok(self.node(node, "Gather", &[&x, &indices], vec![int("axis", dim)]))
    }

    fn resample(&mut self, node: &GraphNode, rows: &Taps, columns: &Taps) -> Result<String> {
        let mut y = self.operand(node, 0)?;
        if !rows.is_identity() {
            let matrix = self.matrix(node.dtype, rows, false)?;
            y = self.node(node, "MatMul", &[&matrix, &y], Vec::new());
        }
        if !columns.is_identity() {
            let matrix = self.matrix(node.dtype, columns, true)?;
            y = self.node(node, "MatMul", &[&y, &matrix], Vec::new());
        }
        Ok(y)
    }

    /// A sparse matrix written out, or its transpose.
    fn matrix(&mut self, dtype: DType, taps: &Taps, transposed: bool) -> Result<String> {
        let (outputs, inputs) = (taps.outputs(), taps.inputs());
        let mut values = vec![0.0; outputs * inputs];
        for output in 0..outputs {
            for (input, weight) in taps.row(output) {
                let at =
                    if transposed { input * outputs + output } else { output * inputs + input };
                values[at] += weight;
            }
        }
        let dims = if transposed { [inputs, outputs] } else { [outputs, inputs] };
        self.numbers(dtype, &dims, &values)
    }
}

/// The attributes that both kinds of pooling have; `ends` is what is added behind.
fn pooling(params: &Pool2d, ends: [usize; 2]) -> Vec<crate::proto::Attribute> {
    let [top, left] = params.padding;
    vec![
        ints("kernel_shape", &params.kernel),
        ints("strides", &params.stride),
        ints("pads", &[top, left, ends[0], ends[1]]),
    ]
}

/// The indices along a dimension, which must be the same wherever else one looks.
fn list_along(indices: &Array, dim: usize) -> Result<Vec<i64>> {
    let values = indices.to_vec::<i64>()?;
    let inner: usize = indices.shape()[dim + 1..].iter().product();
    let count = indices.shape()[dim];
    let list: Vec<i64> = (0..count).map(|at| values[at * inner]).collect();
    let is_list = values.iter().enumerate().all(|(at, &value)| value == list[at / inner % count]);
    match is_list {
        true => Ok(list),
        false => Err(Error::unsupported("its indices differ from row to row")),
    }
}

//! Cells run along a sequence, in layers and directions.

use ferrotape_autograd::Tensor;
use ferrotape_backend::{Context, Error, ErrorKind, Result};

use super::cell::{array, start};
use super::{CellConfig, RecurrentCell, RecurrentConfig};
use crate::{Init, Item, Layer, Module, Pass, Path, Ties, Visitor};

/// Layers of cells run along a sequence, forwards and, if
/// [`bidirectional`](RecurrentConfig::bidirectional), backwards too: the only loop over time.
/// [`Rnn`](crate::Rnn), [`Lstm`](crate::Lstm) and [`Gru`](crate::Gru) are this with a cell of ours,
/// and mean what `torch.nn.RNN`, `LSTM` and `GRU` mean.
///
/// `[T, N, I]` (or `[N, T, I]` with [`batch_first`](RecurrentConfig::batch_first), or `[T, I]` for
/// one sequence) to `[T, N, D H]` (`[N, T, D H]`, `[T, D H]`): at each time the outputs of the last
/// layer, the forward direction in front of the backward. A state is `[L D, N, H]` (`[L D, H]`) for
/// L layers and D directions, each tensor of the cell's state; where none is given it is zeros.
///
/// The parameters are the cells', their names with `_l0`, `_l0_reverse`, `_l1`, ... at the end, so
/// that PyTorch's state dicts load. One parameter serves all steps; its gradient is the sum.
///
/// ```
/// use ferrotape_autograd::Tensor;
/// use ferrotape_backend::{Array, DType, Device, Rng, reference::Reference};
/// use ferrotape_nn::{Init, Lstm, Module, Pass, RecurrentConfig};
///
/// let device = Device::new(Reference::new());
/// let init = Init::new(&device, Rng::new(42));
/// let lstm = Lstm::new(&init, RecurrentConfig::new(3, 4).bidirectional(true))?;
/// assert_eq!(lstm.named_parameters()[4].0, "weight_ih_l0_reverse");
///
/// let cx = Pass::eval(&device);
/// let x = cx.input(Array::full(&device, DType::F32, [5, 2, 3], 0.5)?)?;
/// let (y, state) = lstm.run(&cx, &x, None)?;
/// assert_eq!(y.shape().dims(), [5, 2, 8]);
/// let [h, c]: &[Tensor; 2] = &state;
/// assert_eq!((h.shape().dims(), c.shape().dims()), (&[2, 2, 4][..], &[2, 2, 4][..]));
/// // The sequence goes on where it stopped.
/// lstm.run(&cx, &x, Some(&state))?;
/// assert_eq!((lstm.config().directions(), lstm.cells().len()), (2, 2));
/// # Ok::<(), ferrotape_backend::Error>(())
/// ```
#[derive(Debug)]
pub struct Recurrent<C, const STATES: usize> {
    /// Layer by layer, the forward direction before the backward.
    cells: Vec<C>,
    config: RecurrentConfig,
    path: Path,
}

impl<C: RecurrentCell<STATES>, const STATES: usize> Recurrent<C, STATES> {
    /// Layers of any cell, made in the given scope by a closure that gets the sizes of each.
    ///
    /// ```
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Gru, GruCell, Init, Recurrent, RecurrentConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let config = RecurrentConfig::new(3, 4).num_layers(2);
    /// let gru: Gru = Recurrent::of(&init, config, GruCell::new)?;
    /// assert_eq!(gru.cells().len(), 2);
    /// let none = Recurrent::of(&init.at("gru"), config.num_layers(0), GruCell::new).unwrap_err();
    /// assert_eq!(none.to_string(), "gru: num_layers is 0, it must be at least 1");
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// A size or number of layers of 0, a dropout probability that is none; what the closure says;
    /// out of memory.
    pub fn of(
        init: &Init,
        config: RecurrentConfig,
        make: impl Fn(&Init, CellConfig) -> Result<C>,
    ) -> Result<Self> {
        let place = || init.path().as_str();
        config.check().at(place)?;
        let (hidden, directions) = (config.hidden_size, config.directions());
        let count = config.num_layers.saturating_mul(directions);
        let mut cells = Vec::new();
        cells.try_reserve_exact(count).map_err(|_| {
            let message = format!("there is no room for {} layers", config.num_layers);
            Error::new(ErrorKind::OutOfMemory, message).at(place())
        })?;
        for index in 0..count {
            let input_size = match index < directions {
                true => config.input_size,
                false => hidden.saturating_mul(directions),
            };
            let cell = CellConfig { input_size, hidden_size: hidden, bias: config.bias };
            cells.push(make(&init.suffix(&config.suffix(index)), cell)?);
        }
        Ok(Recurrent { cells, config, path: init.path().clone() })
    }

    /// What it was made from.
    #[must_use]
    pub fn config(&self) -> &RecurrentConfig {
        &self.config
    }

    /// The cells: layer by layer, the forward direction before the backward.
    #[must_use]
    pub fn cells(&self) -> &[C] {
        &self.cells
    }

    /// The outputs at all times, and the state after the last step of each cell, from a state to
    /// begin with or zeros.
    ///
    /// ```
    /// use ferrotape_autograd::Tensor;
    /// use ferrotape_backend::{Device, Rng, reference::Reference};
    /// use ferrotape_nn::{Gru, Init, Pass, RecurrentConfig};
    ///
    /// let device = Device::new(Reference::new());
    /// let init = Init::new(&device, Rng::new(42));
    /// let gru = Gru::new(&init, RecurrentConfig::new(3, 4))?;
    /// let cx = Pass::eval(&device);
    /// let x = Tensor::from(init.normal([6, 1, 3], 0.0, 1.0)?);
    /// // A sequence in two parts, the second from the state after the first.
    /// let (whole, _) = gru.run(&cx, &x, None)?;
    /// let (_, state) = gru.run(&cx, &x.narrow(0, 0, 4)?, None)?;
    /// let (rest, _) = gru.run(&cx, &x.narrow(0, 4, 2)?, Some(&state))?;
    /// assert_eq!(rest.to_vec::<f32>()?, whole.narrow(0, 4, 2)?.to_vec::<f32>()?);
    /// # Ok::<(), ferrotape_backend::Error>(())
    /// ```
    ///
    /// # Errors
    /// An input or state that does not fit, or no steps; the path of the layer is in front.
    pub fn run(
        &self,
        cx: &Pass,
        x: &Tensor,
        state: Option<&[Tensor; STATES]>,
    ) -> Result<(Tensor, [Tensor; STATES])> {
        let mut last = None;
        let outputs = cx.within(self, || {
            let (outputs, state) = self.compute(cx, x, state)?;
            last = Some(state);
            Ok(outputs)
        })?;
        Ok((outputs, last.expect("a pass that gives the outputs ran the closure to its end")))
    }

    fn compute(
        &self,
        cx: &Pass,
        x: &Tensor,
        state: Option<&[Tensor; STATES]>,
    ) -> Result<(Tensor, [Tensor; STATES])> {
        self.check(x)?;
        if x.shape().rank() == 2 {
            // One sequence is a batch of one.
            let batch = usize::from(!self.config.batch_first);
            let state = state.map(|s| array(|k| insert(&s[k], 1))).transpose()?;
            let (y, last) = self.compute(cx, &insert(x, batch)?, state.as_ref())?;
            return Ok((remove(&y, batch)?, array(|k| remove(&last[k], 1))?));
        }
        if self.config.batch_first {
            let (y, last) = self.layers(cx, &x.transpose(0, 1)?, state)?;
            return Ok((y.transpose(0, 1)?, last));
        }
        self.layers(cx, x, state)
    }

    fn check(&self, x: &Tensor) -> Result<()> {
        let RecurrentConfig { input_size, batch_first, .. } = self.config;
        let shape = x.shape();
        if !(2..=3).contains(&shape.rank()) || shape.last() != Some(&input_size) {
            let (outer, inner) = if batch_first { ("N", "T") } else { ("T", "N") };
            return Err(Error::shape(format!(
                "this layer takes [{outer}, {inner}, {input_size}] or [T, {input_size}], got {shape}"
            )));
        }
        if shape.numel() == 0 {
            return Err(Error::shape(format!(
                "an input of shape {shape} has no steps; a sequence must have at least one, and a \
                 batch at least one sequence"
            )));
        }
        Ok(())
    }

    /// `[T, N, I]` to `[T, N, D H]`.
    fn layers(
        &self,
        cx: &Pass,
        x: &Tensor,
        state: Option<&[Tensor; STATES]>,
    ) -> Result<(Tensor, [Tensor; STATES])> {
        let directions = self.config.directions();
        if let Some(state) = state {
            self.check_state(x, state)?;
        }
        let (mut x, mut finals) = (x.clone(), Vec::with_capacity(self.cells.len()));
        for (layer, cells) in self.cells.chunks(directions).enumerate() {
            if layer > 0 && self.config.dropout > 0.0 && cx.is_training(&self.path) {
                x = x.dropout(self.config.dropout, cx.rng(&self.path))?;
            }
            let mut outputs = Vec::with_capacity(directions);
            for (direction, cell) in cells.iter().enumerate() {
                let index = layer * directions + direction;
                let own =
                    |k: usize, state: &[Tensor; STATES]| remove(&state[k].narrow(0, index, 1)?, 0);
                let state = state.map(|state| array(|k| own(k, state))).transpose()?;
                let (y, last) = unroll(cx, cell, &x, state.as_ref(), direction == 1)?;
                outputs.push(y);
                finals.push(last);
            }
            x = join(outputs, -1)?;
        }
        let state = array(|k| {
            join(finals.iter().map(|last| insert(&last[k], 0)).collect::<Result<_>>()?, 0)
        })?;
        Ok((x, state))
    }

    fn check_state(&self, x: &Tensor, state: &[Tensor; STATES]) -> Result<()> {
        let expected = [self.cells.len(), x.shape()[1], self.config.hidden_size];
        match state.iter().find(|part| part.shape().dims() != expected) {
            Some(part) => Err(Error::shape(format!(
                "the state to begin with has shape {}; for {} layers, {} directions and {} \
                 sequences it must be {expected:?}",
                part.shape(),
                self.config.num_layers,
                self.config.directions(),
                expected[1]
            ))),
            None => Ok(()),
        }
    }
}

/// Runs a cell along `[T, N, I]`, from the end if `reverse`: `[T, N, H]` in the order of the input,
/// and the state after the last step taken.
fn unroll<C: RecurrentCell<STATES>, const STATES: usize>(
    cx: &Pass,
    cell: &C,
    x: &Tensor,
    state: Option<&[Tensor; STATES]>,
    reverse: bool,
) -> Result<(Tensor, [Tensor; STATES])> {
    let projected = cell.project(cx, x)?;
    let mut steps = Vec::with_capacity(x.shape()[0]);
    split(&projected, &mut steps)?;
    let mut state = start(cx, cell.hidden_size(), &steps[0], projected.dtype(), state)?;
    if reverse {
        steps.reverse();
    }
    let mut outputs = Vec::with_capacity(steps.len());
    for step in &steps {
        state = cell.advance(cx, step, &state)?;
        outputs.push(insert(&state[0], 0)?);
    }
    if reverse {
        outputs.reverse();
    }
    Ok((join(outputs, 0)?, state))
}

/// The parts of the first dimension, by halves: the gradient of a part is as large as what it was
/// cut from, so that cutting each from the whole would cost the square of the number of steps.
fn split(x: &Tensor, parts: &mut Vec<Tensor>) -> Result<()> {
    match x.shape()[0] {
        1 => parts.push(remove(x, 0)?),
        length => {
            let half = length / 2;
            split(&x.narrow(0, 0, half)?, parts)?;
            split(&x.narrow(0, half, length - half)?, parts)?;
        }
    }
    Ok(())
}

fn join(parts: Vec<Tensor>, dim: isize) -> Result<Tensor> {
    match &parts[..] {
        [one] => Ok(one.clone()),
        parts => Tensor::cat(&parts.iter().collect::<Vec<_>>(), dim),
    }
}

fn insert(x: &Tensor, dim: usize) -> Result<Tensor> {
    x.unsqueeze(dim)
}

/// The tensor without a dimension of size 1.
fn remove(x: &Tensor, dim: usize) -> Result<Tensor> {
    let mut sizes = x.shape().to_vec();
    sizes.remove(dim);
    x.view(ferrotape_backend::Shape::new(&sizes)?)
}

impl<C: RecurrentCell<STATES>, const STATES: usize> Module for Recurrent<C, STATES> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (index, cell) in self.cells.iter().enumerate() {
            let suffix = self.config.suffix(index);
            let mut each = |name: &str, item: Item<'_>| {
                let name = format!("{name}{suffix}");
                match item {
                    Item::Parameter(parameter) => visitor.child(&name, parameter),
                    Item::State(state) => visitor.child(&name, state),
                    Item::Child(_) => {}
                }
            };
            cell.visit(&mut Visitor::new(&mut each));
        }
    }

    fn clone_with(&self, ties: &mut Ties) -> Self {
        Recurrent {
            cells: self.cells.clone_with(ties),
            config: self.config,
            path: self.path.clone_with(ties),
        }
    }

    /// `Lstm` for cells that are `LstmCell`s.
    fn kind(&self) -> &'static str {
        let cell = self.cells.first().map(Module::kind);
        cell.and_then(|kind| kind.strip_suffix("Cell")).unwrap_or("Recurrent")
    }
}

impl<C: RecurrentCell<STATES>, const STATES: usize> Clone for Recurrent<C, STATES> {
    fn clone(&self) -> Self {
        self.clone_with(&mut Ties::new())
    }
}

impl<C: RecurrentCell<STATES>, const STATES: usize> Layer for Recurrent<C, STATES> {
    fn forward(&self, cx: &Pass, x: &Tensor) -> Result<Tensor> {
        self.run(cx, x, None).map(|(outputs, _)| outputs)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests;

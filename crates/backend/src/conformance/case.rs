//! A case: a call of a verb with its operands, what it is expected to give, and the strategies
//! that cases are drawn with.

use std::fmt;

use proptest::prelude::*;
use proptest::sample::select;

use super::operand::{Cut, Operand, Order, Role, Values, View};
use crate::{Array, Backend, DType, Error, Result};

/// Runs the verb with inputs and outputs.
type Run = Box<dyn Fn(&dyn Backend, &[&Array], &mut [&mut Array]) -> Result<()>>;
/// The largest error of each element of each output.
type Bound = Box<dyn Fn(&Facts<'_>) -> Vec<Vec<f64>>>;

/// What a bound may depend on: all operands' elements in row-major order, and the unit roundoff of
/// the type that the verb computes in.
pub(super) struct Facts<'a> {
    pub(super) inputs: &'a [Vec<f64>],
    pub(super) previous: &'a [Vec<f64>],
    pub(super) expected: &'a [Vec<f64>],
    pub(super) unit: f64,
}

/// How near to the reference the result must be.
pub(super) enum Expect {
    /// The same value, computed with the operands' own data types.
    Exact,
    /// A sum of so many terms; the verb on absolute values gives the magnitude of the sum.
    Sum(usize),
    /// Whatever the function says.
    Within(Bound),
}

/// A call of a verb.
pub(super) struct Call {
    pub(super) attributes: String,
    pub(super) inputs: Vec<Operand>,
    pub(super) outputs: Vec<Operand>,
    pub(super) run: Run,
    pub(super) expect: Expect,
}

impl Call {
    pub(super) fn new(
        inputs: Vec<Operand>,
        outputs: Vec<Operand>,
        expect: Expect,
        run: impl Fn(&dyn Backend, &[&Array], &mut [&mut Array]) -> Result<()> + 'static,
    ) -> Self {
        Call { attributes: String::new(), inputs, outputs, run: Box::new(run), expect }
    }

    /// Says with which attributes, for messages.
    pub(super) fn with(mut self, attributes: impl fmt::Debug) -> Self {
        self.attributes = format!("{attributes:?}");
        self
    }

    pub(super) fn operands(&self) -> impl Iterator<Item = &Operand> {
        self.inputs.iter().chain(&self.outputs)
    }

    /// The unit roundoff of the type that the verb computes in.
    pub(super) fn unit(&self) -> f64 {
        let double = self.operands().any(|operand| operand.dtype == DType::F64);
        if double { f64::EPSILON / 2.0 } else { f64::from(f32::EPSILON) / 2.0 }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.attributes.is_empty() {
            write!(f, "\n  {}", self.attributes)?;
        }
        let inputs = self.inputs.iter().map(|operand| ("reads", operand));
        let outputs = self.outputs.iter().map(|operand| ("writes", operand));
        inputs.chain(outputs).try_for_each(|(how, operand)| write!(f, "\n  {how} {operand:?}"))
    }
}

/// A call that must be refused with an error of this kind.
pub(super) type Mistake = (crate::ErrorKind, Call);

/// The outputs of a verb that has two.
pub(super) fn two<'a, 'b>(
    outputs: &'a mut [&'b mut Array],
) -> Result<(&'a mut &'b mut Array, &'a mut &'b mut Array)> {
    match outputs {
        [first, second] => Ok((first, second)),
        _ => Err(Error::argument("this case has not two outputs")),
    }
}

/// More operands than any verb has.
const VIEWS: usize = 10;

/// Makes the operands of one case.
#[derive(Debug, Clone)]
pub(super) struct Maker {
    pub(super) dtype: DType,
    views: Vec<View>,
    seed: u64,
    made: usize,
    /// The next output's view: outputs take theirs from the end, so that they keep it when a case
    /// is made simpler by an input less.
    last: usize,
}

impl Maker {
    /// Operands in row-major order.
    pub(super) fn plain(dtype: DType) -> Self {
        Maker { dtype, views: Vec::new(), seed: 1, made: 0, last: VIEWS }
    }

    fn next(&mut self, name: &'static str, shape: &[usize], values: Values) -> Operand {
        let view = self.views.get(self.made).cloned().unwrap_or_default();
        self.made += 1;
        Operand {
            name,
            role: Role::Float,
            dtype: self.dtype,
            shape: shape.to_vec(),
            view,
            values,
            seed: self.seed.wrapping_add(self.made as u64),
            nan: None,
            rank_matters: true,
        }
    }

    /// An input of the case's float type.
    pub(super) fn input(&mut self, name: &'static str, shape: &[usize], values: Values) -> Operand {
        self.next(name, shape, values)
    }

    /// An input of indices.
    pub(super) fn index(&mut self, name: &'static str, shape: &[usize], limit: usize) -> Operand {
        let operand = self.next(name, shape, Values::Index(limit, None));
        Operand { role: Role::Index, dtype: DType::I64, ..operand }
    }

    /// An output of the case's float type.
    pub(super) fn output(&mut self, name: &'static str, shape: &[usize]) -> Operand {
        let mut operand = self.next(name, shape, Values::Garbage);
        self.last = self.last.saturating_sub(1);
        let view = self.views.get(self.last).cloned().unwrap_or_default();
        operand.view = View { stretch: 0, ..view };
        operand
    }

    /// An output of indices.
    pub(super) fn index_output(&mut self, name: &'static str, shape: &[usize]) -> Operand {
        Operand { role: Role::Index, dtype: DType::I64, ..self.output(name, shape) }
    }
}

impl Operand {
    /// The same operand in the type that sums are kept in.
    pub(super) fn accumulator(self) -> Self {
        let dtype = self.dtype.accumulator();
        Operand { dtype, ..self }
    }

    /// The same operand of any type, here this one.
    pub(super) fn any(self, dtype: DType) -> Self {
        Operand { role: Role::Any, dtype, ..self }
    }

    /// The same operand where more dimensions are no mistake.
    pub(super) fn of_any_rank(self) -> Self {
        Operand { rank_matters: false, ..self }
    }

    /// The same operand with other values.
    pub(super) fn holding(self, values: Values) -> Self {
        Operand { values, ..self }
    }
}

/// Makers with all kinds of layouts; half of the cases have the same kind for all operands.
pub(super) fn maker() -> impl Strategy<Value = Maker> {
    let last = |cut| View { order: Order::ChannelsLast, cut, ..View::default() };
    let views = prop_oneof![
        2 => Just(Vec::new()),
        2 => Just(vec![last(Cut::Whole); VIEWS]),
        1 => prop::collection::vec((0..4usize, 0..4usize), VIEWS)
            .prop_map(move |cuts| cuts.iter().map(|&(b, a)| last(Cut::Channels(b, a))).collect()),
        5 => prop::collection::vec(view(), VIEWS),
    ];
    (float(), views, any::<u64>().no_shrink()).prop_map(|(dtype, views, seed)| Maker {
        dtype,
        views,
        seed,
        made: 0,
        last: VIEWS,
    })
}

fn view() -> impl Strategy<Value = View> {
    let key = || any::<u64>().no_shrink();
    let order = prop_oneof![
        Just(Order::RowMajor),
        Just(Order::ChannelsLast),
        key().prop_map(Order::Permuted),
    ];
    let cut = prop_oneof![
        2 => Just(Cut::Whole),
        1 => (0..4usize, 0..4usize).prop_map(|(before, after)| Cut::Channels(before, after)),
        1 => key().prop_map(Cut::Everywhere),
    ];
    let mask = || prop_oneof![3 => Just(0u8), 1 => 0..16u8];
    (order, cut, mask(), mask()).prop_map(|(order, cut, flips, stretch)| View {
        order,
        cut,
        flips,
        stretch,
    })
}

/// Float types, f32 first.
pub(super) fn float() -> impl Strategy<Value = DType> {
    prop_oneof![
        3 => Just(DType::F32),
        2 => Just(DType::F64),
        1 => Just(DType::BF16),
        1 => Just(DType::F16),
    ]
}

/// Every data type.
pub(super) fn any_type() -> impl Strategy<Value = DType> {
    select(DType::ALL.to_vec())
}

/// Sizes: 1 and small ones first, those around the widths of vectors, sometimes 0.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => Just(1usize),
        6 => 2..=5usize,
        4 => 6..=20usize,
        2 => select(vec![8usize, 15, 16, 17, 31, 32, 33, 63, 64, 65]),
        1 => Just(0usize),
    ]
}

/// Sizes of which every sixth set is all equal, and whose product stays below `limit`.
pub(super) fn sizes<const N: usize>(limit: usize) -> impl Strategy<Value = [usize; N]> {
    let equal = prop::bool::weighted(1.0 / 6.0);
    (prop::array::uniform::<_, N>(size()), equal).prop_map(move |(mut sizes, equal)| {
        if equal && let Some(&first) = sizes.first() {
            sizes = [first; N];
        }
        shrink_to(&mut sizes, limit);
        sizes
    })
}

/// Halves the largest size until the product is below the limit.
pub(super) fn shrink_to(sizes: &mut [usize], limit: usize) {
    while sizes.iter().product::<usize>() > limit {
        if let Some(largest) = sizes.iter_mut().max() {
            *largest /= 2;
        }
    }
}

/// Shapes of rank 0 to 5 with at most `limit` elements.
pub(super) fn shape(limit: usize) -> impl Strategy<Value = Vec<usize>> {
    (0..=5usize, sizes::<5>(limit)).prop_map(|(rank, sizes)| sizes[..rank].to_vec())
}

//! Expressions compiled to straight-line code over a few slots.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::expr::{BinaryOp, Compare, Expr, Node, UnaryOp};

/// Where a program keeps an intermediate value: backends hold one block of elements a slot.
pub type Slot = u16;

/// One step of a [`Program`].
///
/// ```
/// use ferrotape_backend::{
///     pointwise::Expr, pointwise::Instr, pointwise::Program, pointwise::UnaryOp,
/// };
///
/// let program = Program::new(&[Expr::input(0).exp()]);
/// let [input, exp, store] = program.instrs() else { unreachable!("three steps") };
/// assert!(matches!(input, Instr::Input { index: 0, .. }));
/// assert!(matches!(exp, Instr::Unary { op: UnaryOp::Exp, .. }));
/// assert!(matches!(store, Instr::Store { index: 0, .. }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub enum Instr {
    Input {
        dst: Slot,
        index: usize,
    },
    Previous {
        dst: Slot,
        index: usize,
    },
    Scalar {
        dst: Slot,
        index: usize,
    },
    Const {
        dst: Slot,
        value: f64,
    },
    Unary {
        dst: Slot,
        op: UnaryOp,
        a: Slot,
    },
    Binary {
        dst: Slot,
        op: BinaryOp,
        a: Slot,
        b: Slot,
    },
    Select {
        dst: Slot,
        op: Compare,
        a: Slot,
        b: Slot,
        then: Slot,
        otherwise: Slot,
    },
    /// Output `index` is what `a` holds. The stores stand after everything else.
    Store {
        index: usize,
        a: Slot,
    },
}

/// Several expressions over the same inputs, ready to run: common subexpressions computed once,
/// slots reused as soon as their value was read for the last time.
///
/// A step's `dst` may be one of its own operands' slots.
///
/// ```
/// use ferrotape_backend::pointwise::{Expr, Program};
///
/// let (x, y) = (Expr::input(0), Expr::input(1));
/// let program = Program::new(&[(&x + &y).exp(), (&x + &y).sin()]);
/// assert_eq!(program.eval(&[1.0, -1.0], &[], &[0.0, 0.0]), [1.0, 0.0]);
/// assert_eq!((program.inputs(), program.outputs()), (2, 2));
/// // The sum is computed once: two inputs, a sum, two functions, two stores.
/// assert_eq!((program.instrs().len(), program.scalars(), program.exprs().len()), (7, 0, 2));
/// ```
#[derive(Debug, Clone)]
pub struct Program {
    id: u64,
    instrs: Vec<Instr>,
    slots: usize,
    inputs: usize,
    scalars: usize,
    exprs: Vec<Expr>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Program {
    /// Compiles one expression an output.
    ///
    /// ```
    /// use ferrotape_backend::{pointwise::Expr, pointwise::Program};
    ///
    /// let x = Expr::input(0);
    /// let program = Program::new(&[&x + 1.0, &x * 2.0]);
    /// assert_eq!((program.outputs(), program.inputs()), (2, 1));
    /// assert_eq!(program.eval(&[3.0], &[], &[0.0, 0.0]), [4.0, 6.0]);
    /// ```
    pub fn new(outputs: &[Expr]) -> Self {
        let mut compiler = Compiler::default();
        let roots: Vec<usize> = outputs.iter().map(|e| compiler.value(e)).collect();
        let (instrs, slots) = compiler.allocate(&roots);
        Program {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            instrs,
            slots,
            inputs: compiler.inputs,
            scalars: compiler.scalars,
            exprs: outputs.to_vec(),
        }
    }

    /// A number that no other compiled program of this process has, clones excepted: the key of a
    /// backend's cache.
    ///
    /// ```
    /// use ferrotape_backend::{pointwise::Expr, pointwise::Program};
    ///
    /// let [a, b] = [(); 2].map(|()| Program::new(&[Expr::input(0)]));
    /// assert_ne!(a.id(), b.id());
    /// assert_eq!(a.id(), a.clone().id());
    /// ```
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The steps, in order.
    pub fn instrs(&self) -> &[Instr] {
        &self.instrs
    }

    /// How many slots the steps use.
    ///
    /// ```
    /// use ferrotape_backend::{pointwise::Expr, pointwise::Program};
    ///
    /// // A chain needs no second slot: each value is read once.
    /// let chain = Program::new(&[Expr::input(0).exp().sin().tanh()]);
    /// assert_eq!(chain.slots(), 1);
    /// ```
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// How many inputs a call must give: one more than the largest index used.
    ///
    /// ```
    /// use ferrotape_backend::{pointwise::Expr, pointwise::Program};
    ///
    /// assert_eq!(Program::new(&[Expr::input(2)]).inputs(), 3);
    /// ```
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// How many scalars a call must give.
    pub fn scalars(&self) -> usize {
        self.scalars
    }

    /// How many outputs there are.
    pub fn outputs(&self) -> usize {
        self.exprs.len()
    }

    /// The expressions it was made from.
    pub fn exprs(&self) -> &[Expr] {
        &self.exprs
    }

    /// Whether it reads what output `index` held before.
    ///
    /// ```
    /// use ferrotape_backend::{pointwise::Expr, pointwise::Program};
    ///
    /// let program = Program::new(&[Expr::previous(0) + Expr::input(0), Expr::input(0)]);
    /// assert!(program.reads_previous(0) && !program.reads_previous(1));
    /// ```
    pub fn reads_previous(&self, index: usize) -> bool {
        self.instrs.iter().any(|i| matches!(i, Instr::Previous { index: k, .. } if *k == index))
    }

    /// Runs the steps for one element in double precision.
    ///
    /// ```
    /// use ferrotape_backend::{pointwise::Expr, pointwise::Program};
    ///
    /// let step = Program::new(&[Expr::previous(0) - Expr::scalar(0) * Expr::input(0)]);
    /// assert_eq!(step.eval(&[2.0], &[0.5], &[10.0]), [9.0]);
    /// ```
    pub fn eval(&self, inputs: &[f64], scalars: &[f64], previous: &[f64]) -> Vec<f64> {
        let mut slots = vec![0.0; self.slots];
        let mut outputs = vec![0.0; self.outputs()];
        for instr in &self.instrs {
            let at = |slot: Slot| slots[slot as usize];
            let (dst, value) = match *instr {
                Instr::Input { dst, index } => (dst, inputs[index]),
                Instr::Previous { dst, index } => (dst, previous[index]),
                Instr::Scalar { dst, index } => (dst, scalars[index]),
                Instr::Const { dst, value } => (dst, value),
                Instr::Unary { dst, op, a } => (dst, op.eval(at(a))),
                Instr::Binary { dst, op, a, b } => (dst, op.eval(at(a), at(b))),
                Instr::Select { dst, op, a, b, then, otherwise } => {
                    (dst, if op.eval(at(a), at(b)) { at(then) } else { at(otherwise) })
                }
                Instr::Store { index, a } => {
                    outputs[index] = at(a);
                    continue;
                }
            };
            slots[dst as usize] = value;
        }
        outputs
    }
}

/// A value with its operands as numbers of other values: equal keys are equal values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Input(usize),
    Previous(usize),
    Scalar(usize),
    Const(u64),
    Unary(UnaryOp, usize),
    Binary(BinaryOp, usize, usize),
    Select(Compare, usize, usize, usize, usize),
}

impl Key {
    fn operands(self) -> impl Iterator<Item = usize> {
        let list = match self {
            Key::Unary(_, a) => [Some(a), None, None, None],
            Key::Binary(_, a, b) => [Some(a), Some(b), None, None],
            Key::Select(_, a, b, c, d) => [Some(a), Some(b), Some(c), Some(d)],
            _ => [None; 4],
        };
        list.into_iter().flatten()
    }
}

#[derive(Default)]
struct Compiler {
    values: Vec<Key>,
    numbers: HashMap<Key, usize>,
    visited: HashMap<*const Node, usize>,
    inputs: usize,
    scalars: usize,
}

impl Compiler {
    fn value(&mut self, expr: &Expr) -> usize {
        let pointer = Arc::as_ptr(&expr.0);
        if let Some(&number) = self.visited.get(&pointer) {
            return number;
        }
        let key = match &*expr.0 {
            Node::Input(i) => {
                self.inputs = self.inputs.max(i + 1);
                Key::Input(*i)
            }
            Node::Previous(i) => Key::Previous(*i),
            Node::Scalar(i) => {
                self.scalars = self.scalars.max(i + 1);
                Key::Scalar(*i)
            }
            Node::Const(c) => Key::Const(c.to_bits()),
            Node::Unary(op, a) => Key::Unary(*op, self.value(a)),
            Node::Binary(op, a, b) => Key::Binary(*op, self.value(a), self.value(b)),
            Node::Select(op, a, b, c, d) => {
                let (a, b) = (self.value(a), self.value(b));
                Key::Select(*op, a, b, self.value(c), self.value(d))
            }
        };
        let next = self.values.len();
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.values.push(key);
        }
        self.visited.insert(pointer, number);
        number
    }

    fn allocate(&self, roots: &[usize]) -> (Vec<Instr>, usize) {
        let mut last_use = vec![0; self.values.len()];
        for (number, key) in self.values.iter().enumerate() {
            last_use[number] = number;
            for operand in key.operands() {
                last_use[operand] = number;
            }
        }
        for &root in roots {
            last_use[root] = usize::MAX;
        }
        let mut slot_of = vec![0 as Slot; self.values.len()];
        let (mut free, mut slots) = (Vec::new(), 0 as Slot);
        let mut instrs = Vec::new();
        for (number, key) in self.values.iter().enumerate() {
            for operand in key.operands() {
                if last_use[operand] == number && !free.contains(&slot_of[operand]) {
                    free.push(slot_of[operand]);
                }
            }
            let dst = free.pop().unwrap_or_else(|| {
                slots += 1;
                slots - 1
            });
            slot_of[number] = dst;
            let at = |v: usize| slot_of[v];
            instrs.push(match *key {
                Key::Input(index) => Instr::Input { dst, index },
                Key::Previous(index) => Instr::Previous { dst, index },
                Key::Scalar(index) => Instr::Scalar { dst, index },
                Key::Const(bits) => Instr::Const { dst, value: f64::from_bits(bits) },
                Key::Unary(op, a) => Instr::Unary { dst, op, a: at(a) },
                Key::Binary(op, a, b) => Instr::Binary { dst, op, a: at(a), b: at(b) },
                Key::Select(op, a, b, then, otherwise) => Instr::Select {
                    dst,
                    op,
                    a: at(a),
                    b: at(b),
                    then: at(then),
                    otherwise: at(otherwise),
                },
            });
        }
        let stores =
            roots.iter().enumerate().map(|(index, &v)| Instr::Store { index, a: slot_of[v] });
        instrs.extend(stores);
        (instrs, slots as usize)
    }
}

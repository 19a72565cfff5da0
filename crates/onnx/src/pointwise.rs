//! Expressions, a node for each step.

use std::collections::HashMap;

use ferrotape_autograd::GraphNode;
use ferrotape_backend::pointwise::{BinaryOp, Compare, Instr, Program, UnaryOp};
use ferrotape_backend::{Error, Result};

use crate::builder::{Builder, code, int};

impl Builder<'_> {
    /// An expression over the operands of a node.
    pub(crate) fn pointwise(
        &mut self,
        node: &GraphNode,
        program: &Program,
        scalars: &[f64],
    ) -> Result<String> {
        if node.name() == "relu" {
            let x = self.operand(node, 0)?;
            return Ok(self.node(node, "Relu", &[&x], Vec::new()));
        }
        let mut slots: HashMap<_, String> = HashMap::new();
        for instr in program.instrs() {
            let at = |slot| {
                let missing = || Error::unsupported("its expression reads what was never computed");
                slots.get(slot).cloned().ok_or_else(missing)
            };
            let (dst, value) = match instr {
                Instr::Input { dst, index } => (dst, self.number(node, *index)?),
                Instr::Scalar { dst, index } => {
                    (dst, self.numbers(node.dtype, &[], &[scalars[*index]])?)
                }
                Instr::Const { dst, value } => (dst, self.numbers(node.dtype, &[], &[*value])?),
                Instr::Unary { dst, op, a } => (dst, self.unary(node, *op, &at(a)?)?),
                Instr::Binary { dst, op, a, b } => {
                    let name = match op {
                        BinaryOp::Add => "Add",
                        BinaryOp::Sub => "Sub",
                        BinaryOp::Mul => "Mul",
                        BinaryOp::Div => "Div",
                        BinaryOp::Max => "Max",
                        BinaryOp::Min => "Min",
                        BinaryOp::Pow => "Pow",
                    };
                    (dst, self.node(node, name, &[&at(a)?, &at(b)?], Vec::new()))
                }
                Instr::Select { dst, op, a, b, then, otherwise } => {
                    let [a, b, then, otherwise] = [at(a)?, at(b)?, at(then)?, at(otherwise)?];
                    let holds = self.compare(node, *op, [&a, &b]);
                    (dst, self.node(node, "Where", &[&holds, &then, &otherwise], Vec::new()))
                }
                Instr::Store { a, .. } => return at(a),
                Instr::Previous { .. } => {
                    return Err(Error::unsupported("its expression changes an array in place"));
                }
            };
            slots.insert(*dst, value);
        }
        Err(Error::unsupported("its expression has no result"))
    }

    /// An operand as numbers of the node's type: masks are of another.
    fn number(&mut self, node: &GraphNode, operand: usize) -> Result<String> {
        let name = self.operand(node, operand)?;
        let dtype = match &node.operands[operand] {
            ferrotape_autograd::Operand::Constant(array) => array.dtype(),
            ferrotape_autograd::Operand::Node(_) => node.dtype,
        };
        if dtype == node.dtype {
            return Ok(name);
        }
        let to = int("to", code(node.dtype)? as usize);
        Ok(self.node(node, "Cast", &[&name], vec![to]))
    }

    fn unary(&mut self, node: &GraphNode, op: UnaryOp, a: &str) -> Result<String> {
        let name = match op {
            UnaryOp::Neg => "Neg",
            UnaryOp::Abs => "Abs",
            UnaryOp::Exp => "Exp",
            UnaryOp::Log => "Log",
            UnaryOp::Sin => "Sin",
            UnaryOp::Cos => "Cos",
            UnaryOp::Tanh => "Tanh",
            UnaryOp::Erf => "Erf",
            UnaryOp::Sqrt => "Sqrt",
            UnaryOp::Recip => "Reciprocal",
            UnaryOp::Sigmoid => "Sigmoid",
            UnaryOp::Softplus => "Softplus",
            UnaryOp::Expm1 | UnaryOp::Log1p => {
                let one = self.numbers(node.dtype, &[], &[1.0])?;
                return Ok(match op {
                    UnaryOp::Expm1 => {
                        let power = self.node(node, "Exp", &[a], Vec::new());
                        self.node(node, "Sub", &[&power, &one], Vec::new())
                    }
                    _ => {
                        let sum = self.node(node, "Add", &[a, &one], Vec::new());
                        self.node(node, "Log", &[&sum], Vec::new())
                    }
                });
            }
        };
        Ok(self.node(node, name, &[a], Vec::new()))
    }

    fn compare(&mut self, node: &GraphNode, op: Compare, operands: [&str; 2]) -> String {
        let name = match op {
            Compare::Lt => "Less",
            Compare::Le => "LessOrEqual",
            Compare::Eq => "Equal",
            Compare::Ne => {
                let equal = self.node(node, "Equal", &operands, Vec::new());
                return self.node(node, "Not", &[&equal], Vec::new());
            }
        };
        self.node(node, name, &operands, Vec::new())
    }
}

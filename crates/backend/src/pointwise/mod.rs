//! Pointwise mathematics as data: expressions, their derivatives, and programs that backends run.
//!
//! An activation, a loss term or an optimizer step is written once, as an [`Expr`]. Backends run
//! [`Program`]s of such expressions; gradients come from [`Expr::derivative`].

mod derivative;
mod expr;
mod program;

pub use expr::{BinaryOp, Compare, Expr, UnaryOp};
pub use program::{Instr, Program, Slot};

//! Modules made of modules: vectors, options, boxes, arrays, tuples.

use crate::{Module, Ties, Visitor};

/// The elements are named `0`, `1`, and so on.
impl<T: Module> Module for Vec<T> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (index, module) in self.iter().enumerate() {
            visitor.child(&index.to_string(), module);
        }
    }

    fn clone_with(&self, ties: &mut Ties) -> Self {
        self.iter().map(|module| module.clone_with(ties)).collect()
    }
}

/// The elements are named `0`, `1`, and so on.
impl<T: Module, const N: usize> Module for [T; N] {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (index, module) in self.iter().enumerate() {
            visitor.child(&index.to_string(), module);
        }
    }

    fn clone_with(&self, ties: &mut Ties) -> Self {
        std::array::from_fn(|index| self[index].clone_with(ties))
    }
}

/// What is inside, if anything, without a name of its own.
impl<T: Module> Module for Option<T> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        if let Some(module) = self {
            module.visit(visitor);
        }
    }

    fn clone_with(&self, ties: &mut Ties) -> Self {
        self.as_ref().map(|module| module.clone_with(ties))
    }

    fn kind(&self) -> &'static str {
        self.as_ref().map_or("None", Module::kind)
    }
}

/// What is inside, without a name of its own.
impl<T: Module> Module for Box<T> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        (**self).visit(visitor);
    }

    fn clone_with(&self, ties: &mut Ties) -> Self {
        Box::new((**self).clone_with(ties))
    }

    fn kind(&self) -> &'static str {
        (**self).kind()
    }
}

/// The elements are named `0` and `1`.
impl<A: Module, B: Module> Module for (A, B) {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.child("0", &self.0);
        visitor.child("1", &self.1);
    }

    fn clone_with(&self, ties: &mut Ties) -> Self {
        (self.0.clone_with(ties), self.1.clone_with(ties))
    }
}

/// The elements are named `0`, `1` and `2`.
impl<A: Module, B: Module, C: Module> Module for (A, B, C) {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.child("0", &self.0);
        visitor.child("1", &self.1);
        visitor.child("2", &self.2);
    }

    fn clone_with(&self, ties: &mut Ties) -> Self {
        (self.0.clone_with(ties), self.1.clone_with(ties), self.2.clone_with(ties))
    }
}

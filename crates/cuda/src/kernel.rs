//! Kernels by name: their sources, what is defined before they are compiled, and the compiled modules.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use ferrotape_backend::{Context, DType, Result};
use smallvec::SmallVec;

use crate::machine::{Machine, Module};

/// A file of kernels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    /// The name in messages of the compiler, which no other file has.
    pub(crate) name: &'static str,
    /// The text, which stands after the prelude and the definitions.
    pub(crate) text: &'static str,
}

// Every launch looks its kernel up, which must not read the whole text.
impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Source {}

impl Hash for Source {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// What all sources begin with: types, conversions, indices.
pub(crate) const PRELUDE: &str = include_str!("../kernels/prelude.cuh");

/// A name that a source is compiled with, and what it stands for.
pub(crate) type Define = (&'static str, &'static str);

/// A kernel of a source, compiled with these definitions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Kernel {
    /// The file.
    pub(crate) source: Source,
    /// The kernel's name in it.
    pub(crate) entry: &'static str,
    /// Data types and variants.
    pub(crate) defines: SmallVec<[Define; 6]>,
}

impl Kernel {
    /// A kernel without definitions.
    pub(crate) fn new(source: Source, entry: &'static str) -> Self {
        Kernel { source, entry, defines: SmallVec::new() }
    }

    /// The same with a definition more.
    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.defines.push((name, value));
        self
    }

    /// The same with a name that stands for the C++ type of a data type.
    pub(crate) fn with_type(self, name: &'static str, dtype: DType) -> Self {
        self.with(name, c_type(dtype))
    }

    /// The text that is compiled.
    pub(crate) fn text(&self) -> String {
        assemble(&self.defines, self.source.text)
    }
}

/// Prelude, definitions and kernels as one text.
pub(crate) fn assemble(defines: &[Define], text: &str) -> String {
    let mut all = String::with_capacity(PRELUDE.len() + text.len() + 256);
    all.push_str(PRELUDE);
    for (name, value) in defines {
        // Writing to a string cannot fail.
        let _ = writeln!(all, "#define {name} {value}");
    }
    all.push_str(text);
    all
}

/// What a data type is called in the kernels.
pub(crate) const fn c_type(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "float",
        DType::F64 => "double",
        DType::BF16 => "bf16",
        DType::F16 => "f16",
        DType::I64 => "i64",
        DType::U8 => "u8",
    }
}

/// A small number as a definition's value.
pub(crate) const fn digit(number: usize) -> &'static str {
    match number {
        0 => "0",
        1 => "1",
        2 => "2",
        3 => "3",
        4 => "4",
        5 => "5",
        6 => "6",
        7 => "7",
        _ => "8",
    }
}

#[allow(clippy::large_enum_variant, reason = "nearly all keys are of the large one")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Written { source: Source, defines: SmallVec<[Define; 6]> },
    Generated { text: String },
}

/// The modules that were compiled so far.
#[derive(Default)]
pub(crate) struct Modules {
    compiled: Mutex<HashMap<Key, Module>>,
}

impl std::fmt::Debug for Modules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Modules").finish_non_exhaustive()
    }
}

impl Modules {
    /// The module of a kernel, compiled when it is first asked for.
    ///
    /// # Errors
    /// The source does not compile, which is this crate's mistake, or there is no compiler.
    pub(crate) fn of_kernel(&self, machine: &dyn Machine, kernel: &Kernel) -> Result<Module> {
        let key = Key::Written { source: kernel.source, defines: kernel.defines.clone() };
        self.find(key, || machine.compile(kernel.source.name, &kernel.text()))
            .at(|| format!("compiling {} of {}", kernel.entry, kernel.source.name))
    }

    /// The module of a generated text, which stands after the prelude.
    ///
    /// # Errors
    /// As [`Modules::of_kernel`].
    pub(crate) fn of_text(&self, machine: &dyn Machine, text: &str) -> Result<Module> {
        let key = Key::Generated { text: text.to_owned() };
        self.find(key, || machine.compile("pointwise", &assemble(&[], text)))
            .at(|| "compiling a pointwise program")
    }

    /// Every text that was compiled so far, with its name.
    #[cfg(feature = "emulator")]
    pub(crate) fn texts(&self) -> Vec<(&'static str, String)> {
        let compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let text = |key: &Key| match key {
            Key::Written { source, defines } => (source.name, assemble(defines, source.text)),
            Key::Generated { text } => ("pointwise", assemble(&[], text)),
        };
        compiled.keys().map(text).collect()
    }

    fn find(&self, key: Key, compile: impl FnOnce() -> Result<Module>) -> Result<Module> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = compiled.get(&key) {
            return Ok(Arc::clone(module));
        }
        let module = compile()?;
        compiled.insert(key, Arc::clone(&module));
        Ok(module)
    }
}

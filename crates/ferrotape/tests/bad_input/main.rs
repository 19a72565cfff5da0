//! Everything wrong that the library can be given, one row each: it is refused with a sentence.
//!
//! The rows of a section run in a process of their own that may not have more than 1 GiB of memory. A row
//! that panics, is not refused, ends the process, or keeps it busy for 10 seconds fails by its name. With the
//! variable `FERROTAPE_BAD_INPUT` the sentences are written down with what each took, which is where the table
//! of `docs/reliability.md` comes from (`cargo xtask bad-input`).

mod child;
mod data;
mod layers;
mod learning;
mod networks;
mod parent;
mod settings;
mod tensors;
mod weights;

/// What a row comes to: it is not to be `Ok`.
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// One wrong input.
struct Case {
    /// What is given, as the table says it.
    input: &'static str,
    run: Box<dyn FnOnce() -> Outcome>,
}

/// A row of the table.
fn case<E>(input: &'static str, run: impl FnOnce() -> Result<(), E> + 'static) -> Case
where
    Box<dyn std::error::Error>: From<E>,
{
    Case { input, run: Box::new(|| Ok(run()?)) }
}

/// A part of the table: its title, and what makes its rows in a folder that is theirs.
type Section = (&'static str, fn() -> Vec<Case>);

const SECTIONS: &[Section] = &[
    ("Layers", layers::cases),
    ("Tensors", tensors::cases),
    ("Losses and optimizers", learning::cases),
    ("Networks", networks::cases),
    ("Data", data::cases),
    ("Files of weights", weights::cases),
    ("Settings of a run", settings::cases),
];

fn main() {
    match child::section() {
        Some(title) => child::run(&title),
        None => parent::run(),
    }
}

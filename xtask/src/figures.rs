//! `cargo xtask figures`: draws the figures of the book's question pages, and writes the tables that their runs give.

use clap::Parser;

use crate::Result;
use crate::metadata::Metadata;
use crate::shell::Call;

/// What is drawn.
#[derive(Parser)]
pub(crate) struct Args {
    /// The pages, such as `pooling`; all of them if none is named, which takes about ten minutes.
    pages: Vec<String>,
}

/// Runs the example that draws them.
///
/// # Errors
/// A page is unknown, or a figure cannot be drawn.
pub(crate) fn run(args: &Args) -> Result<()> {
    let metadata = Metadata::read()?;
    let call = Call::cargo("run --quiet --locked --release -p ferrotape --example figures --");
    args.pages.iter().fold(call, Call::arg).run(&metadata.workspace_root)
}

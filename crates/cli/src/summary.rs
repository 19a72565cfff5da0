//! `ferrotape summary`.

use ferrotape::train::report::LayerRow;

use crate::error::Result;

/// Flags of `summary`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The model.
    model: String,
}

pub(crate) fn rows(_model: &str, _classes: usize) -> Result<Vec<LayerRow>> {
    Ok(Vec::new())
}

pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    Ok(())
}

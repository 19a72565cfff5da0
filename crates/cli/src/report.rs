//! `ferrotape report`: several runs on one page.

use std::io::Write;
use std::path::PathBuf;

use ferrotape::train::report::{Compared, compare};
use ferrotape::train::{Record, RunFolder, write_atomically};

use crate::error::Result;

/// Flags of `report`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folders of the runs, finished or not.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The page to write.
    #[arg(long, value_name = "FILE", default_value = "comparison.html")]
    out: PathBuf,
}

/// Writes the page.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut runs = Vec::new();
    for path in &arguments.runs {
        let folder = RunFolder::open_any(path)?;
        let mut run = Compared {
            name: path.display().to_string(),
            config: folder.read_config()?,
            ..Compared::default()
        };
        for record in folder.read_records()? {
            match record {
                Record::Epoch(epoch) => run.epochs.push(epoch),
                Record::Final(result) => run.result = Some(result),
                _ => {}
            }
        }
        runs.push(run);
    }
    write_atomically(&arguments.out, compare(&runs)?.as_bytes())?;
    writeln!(std::io::stdout().lock(), "Comparison: {}", arguments.out.display())?;
    Ok(())
}

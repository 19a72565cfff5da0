//! `ferrotape report`: the page of a run, drawn again, or several runs on one page.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ferrotape::prelude::zoo;
use ferrotape::train::report::{Compared, Environment, compare};
use ferrotape::train::{Record, Run, RunConfig, RunFolder, Stop, write_atomically};

use crate::error::{Failure, Result};
use crate::shown::stdout;
use crate::{data, model, output, summary};

/// Flags of `report`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of a finished run, whose report is drawn again; or those of several, finished or not, which are
    /// compared.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The page to write [default: RUN/report.html, which is replaced, or for several comparison.html].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    source: data::Source,
    #[command(flatten)]
    machine: model::Machine,
}

/// Writes the page.
pub(crate) fn run(arguments: &Arguments, started: Instant) -> Result<()> {
    if let Some(out) = &arguments.out {
        output::check(out, "html", "an HTML page")?;
    }
    match arguments.runs.as_slice() {
        [one] => again(one, arguments, started),
        several => together(several, arguments),
    }
}

/// Draws the report of a run again. The machine that it ran on is not known from its folder, and left out.
fn again(path: &Path, arguments: &Arguments, started: Instant) -> Result<()> {
    let mut folder = RunFolder::open(path)?;
    let saved = folder.read_config()?;
    let channels = zoo::find(&saved.model)?.input[0];
    let normalise = saved.normalise().unwrap_or_else(|| data::usual(channels));
    let digits = data::expects_digits(&saved, channels);
    let mut source = arguments.source.over(RunConfig { limit: None, ..saved.clone() });
    let loaded = data::load_as(&mut source, Some(normalise), digits);
    let loaded = loaded.map_err(|error| match arguments.source.data {
        None => data::of_run(error),
        Some(_) => error,
    })?;
    data::check_classes(&source, &loaded)?;
    if arguments.source.data.is_none() {
        data::note_changes(path, &loaded)?;
    }
    model::check_images(&source, &loaded)?;
    let classes = loaded.test.classes().len();
    let (config, device, network) = model::restore(path, &arguments.machine, classes)?;
    let RunConfig { device: ran_on, dtype, .. } = saved;
    let run = Run {
        model: &*network,
        device: &device,
        config: &config,
        environment: Environment { device: ran_on, dtype, ..Environment::default() },
        layers: summary::rows(&config.model, classes, loaded.test.image_shape())?,
        started,
        stop: Stop::default(),
    };
    let page = run.report(&loaded, &folder)?;
    let out = match &arguments.out {
        Some(out) => {
            write_atomically(out, page.as_bytes())?;
            out.clone()
        }
        None => {
            folder.write_report(&page)?;
            path.join(ferrotape::train::run_folder::REPORT)
        }
    };
    Ok(writeln!(stdout(), "Report: {}", out.display())?)
}

/// Writes the page that compares runs, which their folders are enough for.
fn together(paths: &[PathBuf], arguments: &Arguments) -> Result<()> {
    let model::Machine { threads, device, dtype } = &arguments.machine;
    if arguments.source.data.is_some() || threads.is_some() || device.is_some() || dtype.is_some() {
        return Err(Failure::Said(
            "runs are compared by what their folders hold: nothing is computed, and no data is read; leave all flags \
             but --out away, or name one run to draw its report again"
                .into(),
        ));
    }
    let out = arguments.out.clone().unwrap_or_else(|| "comparison.html".into());
    output::check(&out, "html", "an HTML page")?;
    let runs: Vec<Compared> = paths.iter().map(|path| read(path)).collect::<Result<_>>()?;
    write_atomically(&out, compare(&runs)?.as_bytes())?;
    Ok(writeln!(stdout(), "Comparison: {}", out.display())?)
}

fn read(path: &Path) -> Result<Compared> {
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
    Ok(run)
}

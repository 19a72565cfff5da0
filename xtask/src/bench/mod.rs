//! `cargo xtask bench`: runs the criterion benchmarks, reads back what they measured and prints it
//! as a table and as JSON lines.
//!
//! It knows no benchmark by name: a new file in `benches/` with its `[[bench]]` entry is enough. A
//! benchmark's name is its criterion id, such as `train/lenet5/b64/f32`; what a second is counted in
//! follows from the throughput that the benchmark declares (see [`rate::Rate`]).

mod criterion;
mod rate;
mod report;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::NamedTempFile;

use crate::Result;
use crate::metadata::Metadata;
use crate::shell::Call;
use report::Row;

/// What `cargo xtask bench` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A full name selects that benchmark, anything else all whose names begin with it.
    filter: Option<String>,
    /// Ten short samples a benchmark in place of criterion's hundred.
    #[arg(long)]
    quick: bool,
    /// Write one JSON object a benchmark to this file, in place of what it holds.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Threads of the CPU backend [default: all].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

/// Measures the benchmarks that the filter selects and reports them.
///
/// # Errors
/// No benchmark has such a name, one of them fails, or the file for the results cannot be written.
pub(crate) fn run(args: &Args) -> Result<()> {
    let metadata = Metadata::read()?;
    let root = metadata.workspace_root.as_path();
    // An hour of measuring later is late to learn of a typing error in the path.
    args.json.as_deref().map_or(Ok(()), can_be_written)?;
    let threads = match args.threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism()?,
    };
    let all = names(&benches("--list --format terse").read(root)?);
    let selected = select(&all, args.filter.as_deref())?;

    let home = metadata.target_directory.join("criterion");
    let began = SystemTime::now();
    measure(args, &selected, &home, threads).run(root)?;
    let rows = selected
        .iter()
        .map(|name| Ok(Row::new(criterion::find(&home, name, began)?, threads)))
        .collect::<Result<Vec<_>>>()?;

    print!("{}", report::table(&rows));
    if let Some(path) = &args.json {
        std::fs::write(path, report::json_lines(&rows)?)
            .map_err(|error| format!("{} was not written: {error}", path.display()))?;
    }
    Ok(())
}

/// A call of every benchmark program with the given arguments of criterion.
fn benches(args: &str) -> Call {
    Call::cargo(&format!("bench --quiet --locked -p ferrotape-benches --benches -- {args}"))
}

/// The call that measures the selected benchmarks.
fn measure(args: &Args, selected: &[&str], home: &Path, threads: NonZeroUsize) -> Call {
    // Criterion's own quick mode takes two samples, which say nothing about the spread.
    let quick = "--sample-size 10 --warm-up-time 0.5 --measurement-time 1";
    let call = benches(if args.quick { quick } else { "" });
    let call = match (&args.filter, selected) {
        (Some(filter), [only]) if filter == only => call.arg("--exact").arg(filter),
        (Some(filter), _) => call.arg(format!("^{}", escape(filter))),
        (None, _) => call,
    };
    call.variable("CRITERION_HOME", home.to_string_lossy())
        .variable("FERROTAPE_BENCH_THREADS", threads.to_string())
}

/// The names in what `--list --format terse` prints.
fn names(list: &str) -> Vec<String> {
    list.lines().filter_map(|line| line.strip_suffix(": benchmark")).map(str::to_owned).collect()
}

/// The names that the filter means.
fn select<'a>(all: &'a [String], filter: Option<&str>) -> Result<Vec<&'a str>> {
    let filter = filter.unwrap_or_default();
    let exact = all.iter().find(|name| *name == filter).into_iter();
    let selected: Vec<_> = match exact.len() {
        0 => all.iter().filter(|name| name.starts_with(filter)).map(String::as_str).collect(),
        _ => exact.map(String::as_str).collect(),
    };
    if !selected.is_empty() {
        return Ok(selected);
    }
    if all.is_empty() {
        return Err("the package ferrotape-benches has no benchmark".into());
    }
    let known = all.join("\n    ");
    Err(format!("no benchmark begins with \"{filter}\". There are\n    {known}").into())
}

/// The text as a regular expression that matches it and nothing else.
fn escape(text: &str) -> String {
    let special = |c: char| c.is_ascii_punctuation() && !"/_-".contains(c);
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// Checks that a file can be made at `path` without touching what is there.
fn can_be_written(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if path.is_dir() {
        return Err(format!("{} is a folder; --json takes a file", path.display()).into());
    }
    NamedTempFile::new_in(folder).map_err(|error| {
        format!("{} cannot be written ({error}); choose another --json", path.display())
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<String> {
        names(
            "train/lenet5/b64/f32: benchmark\ntrain/lenet5/b64/f32x: benchmark\ngemm/n8: benchmark\nnoise\n",
        )
    }

    #[test]
    fn a_full_name_selects_one_row_and_a_prefix_all_that_begin_with_it() {
        let all = all();
        assert_eq!(select(&all, Some("train/lenet5/b64/f32")).unwrap(), ["train/lenet5/b64/f32"]);
        assert_eq!(select(&all, Some("train/")).unwrap().len(), 2);
        assert_eq!(select(&all, None).unwrap().len(), 3);
    }

    #[test]
    fn a_filter_that_selects_nothing_lists_what_there_is() {
        let error = select(&all(), Some("lenet")).unwrap_err().to_string();
        assert!(error.contains("gemm/n8"), "{error}");
        assert!(select(&[], None).is_err());
    }

    #[test]
    fn the_call_selects_the_same_rows_as_we_do() {
        let all = all();
        let line = |filter: &str| {
            let args =
                Args { filter: Some(filter.to_owned()), quick: true, json: None, threads: None };
            let selected = select(&all, Some(filter)).unwrap();
            measure(&args, &selected, Path::new("h"), NonZeroUsize::MIN).to_string()
        };
        assert!(line("train/lenet5/b64/f32").ends_with("--exact train/lenet5/b64/f32"));
        assert!(line("gemm/n").ends_with("'^gemm/n'"));
        assert!(
            line("gemm/n").starts_with("CRITERION_HOME=h FERROTAPE_BENCH_THREADS=1 cargo bench")
        );
    }

    #[test]
    fn a_prefix_is_no_regular_expression() {
        assert_eq!(escape("conv/3x3+s(1).x"), r"conv/3x3\+s\(1\)\.x");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_known_before_measuring() {
        assert!(can_be_written(Path::new("no/such/folder/a.jsonl")).is_err());
        assert!(can_be_written(&std::env::temp_dir()).is_err());
    }
}

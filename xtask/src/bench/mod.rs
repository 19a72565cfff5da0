//! `cargo xtask bench`: runs the criterion benchmarks, reads back what they measured and prints it
//! as a table and as JSON lines, beside the machine's own ceilings and, when asked, the same rows by
//! other frameworks.
//!
//! It knows no benchmark by name: a new file in `benches/` with its `[[bench]]` entry is enough. A
//! benchmark's name is its criterion id, such as `train/lenet5/b64/f32`; what a second is counted in
//! follows from the throughput that the benchmark declares (see [`rate::Rate`]), and the work of an
//! iteration from what it says about itself (see [`facts`]).

mod ceilings;
mod compare;
mod criterion;
mod facts;
mod instructions;
mod line;
mod machine;
mod page;
mod passes;
mod peers;
mod plot;
mod programs;
mod rate;
mod report;
mod select;
mod text;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::metadata::Metadata;
use crate::shell::Call;
use line::{Line, Log};
use machine::Machine;
use peers::{Harnesses, Peer};
use programs::Programs;

/// What `cargo xtask bench` takes.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Args {
    /// A full name selects that benchmark, anything else all whose names begin with it.
    filter: Option<String>,
    /// Ten short samples a benchmark in place of criterion's hundred, and one pass beside the peers.
    #[arg(long)]
    quick: bool,
    /// Write one JSON object a benchmark to this file, in place of what it holds. With --peers the
    /// file is continued: rows that it has are not measured again.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep the rows under this name, below the target folder.
    #[arg(long, value_name = "NAME")]
    save: Option<String>,
    /// Show what has changed since the rows that were kept under this name. A change is marked where
    /// it is larger than half of the sum of both spreads, (max - min) / median.
    #[arg(long, value_name = "NAME")]
    compare: Option<String>,
    /// Threads of the CPU backend and of the peers [default: all].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// The device to measure; the ceilings and the peers are the processor's.
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: String,
    /// Measure the same rows by torch, candle, burn and crates in turns with ours, or by those of a
    /// list such as torch,burn.
    #[arg(long, value_name = "LIST", num_args = 0..=1, default_missing_value = "")]
    peers: Option<String>,
    /// Leave out torch.compile, which compiles for a minute or more a row.
    #[arg(long, requires = "peers")]
    no_compile: bool,
    /// The Python that has PyTorch [default: that of --setup-peers].
    #[arg(long, value_name = "PATH", requires = "peers")]
    python: Option<PathBuf>,
    /// Install PyTorch and torchvision in a virtual environment below the target folder.
    #[arg(long)]
    setup_peers: bool,
    /// Read the rows from a file of --json and measure nothing.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "json", "threads", "peers"])]
    from: Option<PathBuf>,
    /// Draw the roofline of the convolutions and bars beside the peers.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Write the page docs/performance.md and its pictures.
    #[arg(long)]
    page: bool,
    /// Show where the time of a train/ or infer/ row goes, whose full name is the filter: by phase, by operator,
    /// by shapes.
    #[arg(long, requires = "filter", conflicts_with_all = ["json", "save", "compare", "peers", "from", "plot",
        "page"])]
    profile: bool,
    /// Count the instructions of a fixed small set under valgrind, and hold them against the counts of
    /// the repository.
    #[arg(long, conflicts_with_all = ["filter", "quick", "json", "save", "compare", "threads", "peers",
        "from", "plot", "page"])]
    instructions: bool,
    /// Write the counts to the repository in place of comparing them.
    #[arg(long, requires = "instructions")]
    bless: bool,
}

/// Measures the benchmarks that the filter selects and reports them.
///
/// # Errors
/// No benchmark has such a name, one of them fails, or a file cannot be read or written.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut args = args.clone();
    let peers =
        args.peers.clone().map(|list| peers::chosen(&list, &mut args.filter)).transpose()?;
    let metadata = Metadata::read()?;
    let target = metadata.target_directory.as_path();
    check(&args)?;
    let old = args.compare.as_ref().map(|name| compare::load(target, name)).transpose()?;
    if args.setup_peers {
        peers::python::set_up(&metadata)?;
        if peers.is_none() {
            return Ok(());
        }
    }
    if args.instructions {
        return instructions::run(&metadata, args.bless);
    }
    if let (true, Some(row)) = (args.profile, &args.filter) {
        return profile(&args, row, &metadata);
    }
    let lines = match &args.from {
        Some(file) => stored(file, args.filter.as_deref())?,
        None => measured(&args, peers.as_deref(), &metadata)?,
    };
    print!("{}", report::report(&lines));
    if let (Some(name), Some(old)) = (&args.compare, &old) {
        print!("{}", compare::table(name, old, &lines));
    }
    if let Some(name) = &args.save {
        compare::save(&compare::place(target, name), &lines)?;
    }
    if let Some(file) = &args.plot {
        plot::write(file, &lines)?;
    }
    if args.page {
        page::write(&metadata.workspace_root, &lines)?;
    }
    Ok(())
}

/// Runs the program that says where a row's time goes.
fn profile(args: &Args, row: &str, metadata: &Metadata) -> Result<()> {
    let root = metadata.workspace_root.as_path();
    let mut build =
        Call::cargo("build --quiet --release --locked -p ferrotape-benches --example profile");
    if args.device.starts_with("cuda") {
        build = build.arg("--features").arg("cuda");
    }
    build.run(root)?;
    let program = metadata.target_directory.join("release/examples/profile");
    let program = format!("{}{}", program.display(), std::env::consts::EXE_SUFFIX);
    let steps = match (args.quick, row.contains("/lenet5/")) {
        (true, _) => "3",
        (false, true) => "300",
        (false, false) => "10",
    };
    let mut call = Call::new(&program, "").arg(row).arg(steps);
    call = call.variable("FERROTAPE_BENCH_DEVICE", args.device.clone());
    if let Some(threads) = args.threads {
        call = call.variable("FERROTAPE_BENCH_THREADS", threads.to_string());
    }
    call.run(root)
}

/// Checks what can be known to be wrong before an hour of measuring.
fn check(args: &Args) -> Result<()> {
    for (path, option) in [(&args.json, "--json"), (&args.plot, "--plot")] {
        path.as_deref().map_or(Ok(()), |path| select::can_be_written(path, option))?;
    }
    if let Some(path) =
        args.plot.as_ref().filter(|path| path.extension().is_none_or(|e| e != "svg"))
    {
        return Err(format!("--plot draws an .svg file, not {}", path.display()).into());
    }
    for (name, option) in [(&args.save, "--save"), (&args.compare, "--compare")] {
        name.as_deref().map_or(Ok(()), |name| select::is_a_name(name, option))?;
    }
    if args.peers.is_some() && args.device != "cpu" {
        let device = &args.device;
        return Err(format!("the peers run on the processor; leave --device {device} out").into());
    }
    Ok(())
}

/// The lines of a file that the filter selects, and the ceilings.
fn stored(file: &Path, filter: Option<&str>) -> Result<Vec<Line>> {
    let lines = line::read(file)?;
    let mut names: Vec<String> = Vec::new();
    for line in &lines {
        if !names.contains(&line.name) {
            names.push(line.name.clone());
        }
    }
    let selected = select::select(&names, filter)?;
    let is_wanted =
        |line: &Line| line.name.starts_with(ceilings::ROOM) || selected.contains(&line.name);
    Ok(lines.into_iter().filter(is_wanted).collect())
}

/// The lines of a run: the ceilings first, then what no peer has, then the rest in turns.
fn measured(args: &Args, peers: Option<&[Peer]>, metadata: &Metadata) -> Result<Vec<Line>> {
    let threads = args.threads.map(NonZeroUsize::get);
    let machine = Machine::here(&metadata.workspace_root, threads, &args.device, args.quick)?;
    let programs = Programs::build(metadata)?;
    let all = programs.rows();
    let selected = select::select(&all, args.filter.as_deref())?;
    let harnesses = peers
        .map(|peers| Harnesses::prepare(peers, metadata, args.python.as_deref(), !args.no_compile))
        .transpose()?;
    // Nothing is replaced before it is known that there is something to measure.
    let mut log = match (&args.json, peers) {
        (Some(path), Some(_)) => Log::resume(path)?,
        (path, _) => Log::replace(path.as_deref())?,
    };
    if let Some(path) = &args.json {
        machine.can_continue(&log.lines, path)?;
    }
    let is_ceiling = |name: &String| name.starts_with(ceilings::ROOM);
    // Another device has other ceilings, which nothing here knows.
    let mut own: Vec<_> =
        all.iter().filter(|name| is_ceiling(name) && machine.device.is_none()).cloned().collect();
    let (shared, alone): (Vec<_>, Vec<_>) = selected
        .into_iter()
        .filter(|name| !own.contains(name))
        .partition(|name| harnesses.as_ref().is_some_and(|harnesses| harnesses.has(name)));
    let groups = [programs.groups(&own), programs.groups(&alone)].concat();
    own.extend(alone);
    for group in groups {
        let is_missing = |name: &String| !log.has((line::OURS, "default", name, 1));
        let missing: Vec<_> = group.into_iter().filter(is_missing).collect();
        if missing.is_empty() {
            continue;
        }
        for line in programs.measure(&missing, &machine)? {
            log.add(line)?;
        }
    }
    if let Some(harnesses) = &harnesses {
        harnesses.measure(&shared, &programs, &machine, &mut log)?;
    }
    // A file that is continued may hold more than was asked for this time.
    let is_asked_for = |line: &Line| own.contains(&line.name) || shared.contains(&line.name);
    Ok(log.lines.into_iter().filter(is_asked_for).collect())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::line::tests::line;
    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn args(text: &str) -> std::result::Result<Args, clap::Error> {
        let words = std::iter::once("bench").chain(text.split_whitespace());
        Command::try_parse_from(words).map(|command| command.args)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
        let args = args("train/ --peers --quick").unwrap();
        assert_eq!((args.filter.as_deref(), args.peers.as_deref()), (Some("train/"), Some("")));
        assert_eq!(args.device, "cpu");
    }

    #[test]
    fn options_that_make_no_sense_together_are_refused() {
        for line in [
            "--from a --peers",
            "--from a --json b",
            "--instructions train/",
            "--bless",
            "--python p",
            "--threads 0",
        ] {
            assert!(args(line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_is_known_to_be_wrong_is_said_before_measuring() {
        for (line, said) in [
            ("--json no/such/folder/a", "--json"),
            ("--plot no/such/folder/a.svg", "--plot"),
            ("--plot a.png", ".svg"),
            ("--save a/b", "--save"),
            ("--compare ../a", "--compare"),
            ("--peers --device cuda:0", "--device cuda:0"),
        ] {
            let error = check(&args(line).unwrap()).unwrap_err().to_string();
            assert!(error.contains(said), "{line}: {error}");
        }
        assert!(check(&args("train/ --save a --compare b").unwrap()).is_ok());
    }

    #[test]
    fn a_stored_run_keeps_its_ceilings_whatever_is_selected() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.jsonl");
        let names = ["ceiling/copy", "train/x/b1/f32", "infer/x/b1/f32"];
        let lines = names.map(|name| line("ferrotape", "default", name, 1.0));
        std::fs::write(&file, line::json(&lines).unwrap()).unwrap();
        let found = stored(&file, Some("train/")).unwrap();
        assert_eq!(found.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), names[..2]);
        assert_eq!(stored(&file, None).unwrap().len(), 3);
        assert!(stored(&file, Some("pool/")).is_err());
    }
}

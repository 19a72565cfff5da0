//! Our benchmark programs: built once, asked for their rows, run row by row.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;
use tempfile::NamedTempFile;

use super::line::Line;
use super::machine::Machine;
use super::{ceilings, criterion, facts};
use crate::Result;
use crate::metadata::Metadata;
use crate::shell::Call;

/// Criterion's own quick mode takes two samples, which say nothing about the spread.
const QUICK: &str = "--sample-size 10 --warm-up-time 0.5 --measurement-time 1";

/// The first parts of rows that each run in a process of their own: whole networks because of
/// their memory, ceilings because nothing may disturb them.
const ALONE: [&str; 3] = ["infer/", "train/", ceilings::ROOM];

/// The benchmark programs.
pub(super) struct Programs {
    programs: Vec<Program>,
    /// Where cargo would run them.
    folder: PathBuf,
    /// Where criterion keeps its results.
    home: PathBuf,
}

struct Program {
    path: String,
    rows: Vec<String>,
}

/// The part of cargo's messages that names what it has built.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<String>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

impl Programs {
    /// Builds the programs and asks each for its rows.
    ///
    /// # Errors
    /// One does not build or does not start.
    pub(super) fn build(metadata: &Metadata) -> Result<Self> {
        let root = &metadata.workspace_root;
        let folder = root.join("benches");
        let messages =
            Call::cargo("bench --no-run --quiet --locked -p ferrotape-benches --benches")
                .arg("--message-format=json-render-diagnostics")
                .read(root)?;
        let list = |path: String| {
            let rows = Call::new(&path, "--bench --list --format terse").read(&folder)?;
            Ok(Program { path, rows: names(&rows) })
        };
        let programs = executables(&messages).into_iter().map(list).collect::<Result<_>>()?;
        Ok(Self { programs, folder, home: metadata.target_directory.join("criterion") })
    }

    /// All rows.
    pub(super) fn rows(&self) -> Vec<String> {
        self.programs.iter().flat_map(|program| program.rows.clone()).collect()
    }

    /// Rows in groups that share a process, in the order of the programs.
    pub(super) fn groups(&self, rows: &[String]) -> Vec<Vec<String>> {
        let mut groups = Vec::new();
        for program in &self.programs {
            let wanted = program.rows.iter().filter(|row| rows.contains(row)).cloned();
            let (alone, shared): (Vec<_>, Vec<_>) = wanted.partition(|row| is_alone(row));
            groups.extend(alone.into_iter().map(|row| vec![row]));
            if !shared.is_empty() {
                groups.push(shared);
            }
        }
        groups
    }

    /// Measures rows of one program in one process.
    ///
    /// # Errors
    /// The program fails, or leaves no result of a row.
    pub(super) fn measure(&self, rows: &[String], machine: &Machine) -> Result<Vec<Line>> {
        let has = |program: &&Program| rows.iter().all(|row| program.rows.contains(row));
        let program = self.programs.iter().find(has).ok_or("no program has all of these rows")?;
        let facts = NamedTempFile::new()?;
        let began = SystemTime::now();
        self.call(program, rows, machine, facts.path()).run_beside(&self.folder)?;
        let facts = facts::read(facts.path())?;
        let line = |row: &String| {
            let measurement = criterion::find(&self.home, row, began)?;
            Ok(Line::ours(&measurement, facts.get(row), machine))
        };
        rows.iter().map(line).collect()
    }

    fn call(&self, program: &Program, rows: &[String], machine: &Machine, facts: &Path) -> Call {
        let quick = if machine.quick { QUICK } else { "" };
        let call = Call::new(&program.path, &format!("--bench --noplot {quick}"));
        let call = match rows {
            [only] => call.arg("--exact").arg(only),
            _ => {
                let names: Vec<_> = rows.iter().map(|row| escape(row)).collect();
                call.arg(format!("^(?:{})$", names.join("|")))
            }
        };
        call.variable("CRITERION_HOME", self.home.to_string_lossy())
            .variable("FERROTAPE_BENCH_THREADS", machine.threads.to_string())
            .variable("FERROTAPE_BENCH_DEVICE", machine.device.as_deref().unwrap_or("cpu"))
            .variable(facts::VARIABLE, facts.to_string_lossy())
    }
}

fn is_alone(row: &str) -> bool {
    ALONE.iter().any(|start| row.starts_with(start))
}

/// The benchmark programs among the things that cargo has built.
fn executables(messages: &str) -> Vec<String> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let benches = messages.filter(|message| {
        message.target.as_ref().is_some_and(|target| target.kind.iter().any(|kind| kind == "bench"))
    });
    benches.filter_map(|message| message.executable).collect()
}

/// The names in what `--list --format terse` prints.
fn names(list: &str) -> Vec<String> {
    list.lines().filter_map(|line| line.strip_suffix(": benchmark")).map(str::to_owned).collect()
}

/// The text as a regular expression that matches it and nothing else.
fn escape(text: &str) -> String {
    let special = |c: char| c.is_ascii_punctuation() && !"/_-".contains(c);
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs() -> Programs {
        let program = |path: &str, rows: &[&str]| Program {
            path: path.to_owned(),
            rows: rows.iter().map(|&row| row.to_owned()).collect(),
        };
        Programs {
            programs: vec![
                program("models", &["train/x/b1/f32", "infer/x/b1/f32"]),
                program("kernels", &["ceiling/copy", "gemm/n8/f32", "pool/3x3+s(1).x"]),
            ],
            folder: PathBuf::from("."),
            home: PathBuf::from("h"),
        }
    }

    fn machine(quick: bool) -> Machine {
        Machine { threads: 1, cpu: String::new(), revision: String::new(), device: None, quick }
    }

    #[test]
    fn whole_networks_and_ceilings_have_a_process_each_and_the_rest_share_one() {
        let programs = programs();
        let groups = programs.groups(&programs.rows());
        let sizes: Vec<_> = groups.iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 1, 1, 2]);
        assert_eq!(programs.groups(&["gemm/n8/f32".to_owned()]), [["gemm/n8/f32"]]);
    }

    #[test]
    fn the_call_selects_these_rows_and_no_other() {
        let all = programs();
        let call = |rows: &[&str], quick| {
            let rows: Vec<_> = rows.iter().map(|&row| row.to_owned()).collect();
            all.call(&all.programs[1], &rows, &machine(quick), Path::new("f")).to_string()
        };
        let one = call(&["gemm/n8/f32"], true);
        assert!(one.ends_with("--measurement-time 1 --exact gemm/n8/f32"), "{one}");
        assert!(one.starts_with("CRITERION_HOME=h FERROTAPE_BENCH_THREADS=1 "), "{one}");
        assert!(one.contains("FERROTAPE_BENCH_DEVICE=cpu FERROTAPE_BENCH_FACTS=f"), "{one}");
        let two = call(&["gemm/n8/f32", "pool/3x3+s(1).x"], false);
        assert!(two.ends_with(r"'^(?:gemm/n8/f32|pool/3x3\+s\(1\)\.x)$'"), "{two}");
    }

    #[test]
    fn programs_are_found_among_the_messages_of_cargo() {
        let messages = r#"{"reason":"compiler-artifact","target":{"kind":["lib"]},"executable":null}
{"reason":"compiler-artifact","target":{"kind":["bench"]},"executable":"a/b-1"}
{"reason":"compiler-artifact","target":{"kind":["bin"]},"executable":"a/c-2"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(executables(messages), ["a/b-1"]);
    }

    #[test]
    fn rows_are_what_criterion_lists_as_benchmarks() {
        assert_eq!(names("gemm/n8: benchmark\nnoise\nx: test\n"), ["gemm/n8"]);
    }
}

//! Runs one target for some time.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use super::record::Run;
use super::{Target, files};
use crate::Result;
use crate::shell::Call;

/// The most memory of a target, in mebibytes.
const MEMORY: u64 = 2048;

/// The longest that one input may take, in seconds.
const LONGEST: u64 = 10;

/// How targets are run.
pub(super) struct Session<'a> {
    pub(super) root: &'a Path,
    /// The folder of the programs.
    pub(super) programs: &'a Path,
    pub(super) seconds: u64,
}

/// What came of a target.
pub(super) enum Ended {
    Clean(Run),
    /// What was found, and how to see it again.
    Found(String),
}

impl Session<'_> {
    pub(super) fn run(&self, target: &Target) -> Result<Ended> {
        let name = &target.name;
        let folder = |kind: &str| format!("fuzz/{kind}/{name}");
        for kind in ["corpus", "artifacts"] {
            fs::create_dir_all(self.root.join(folder(kind)))?;
        }
        let before = files(&self.root.join(folder("artifacts")))?;
        let mut call = Call::new(&self.programs.join(name).display().to_string(), "")
            // What asks for more memory than there is gets an error, as anywhere else.
            .variable("ASAN_OPTIONS", "allocator_may_return_null=1")
            .arg(format!("-max_total_time={}", self.seconds))
            .arg(format!("-rss_limit_mb={MEMORY}"))
            .arg(format!("-timeout={LONGEST}"))
            .arg(format!("-max_len={}", target.longest))
            .arg(format!("-artifact_prefix={}/", folder("artifacts")))
            .arg("-print_final_stats=1");
        for kind in ["corpus", "seeds", "found"] {
            // What is new is written to the first.
            if self.root.join(folder(kind)).is_dir() {
                call = call.arg(folder(kind));
            }
        }
        eprintln!("fuzz: {name} for {} s ...", self.seconds);
        let began = Instant::now();
        let output = call.command(self.root).stdin(Stdio::null()).output();
        let output = output.map_err(|error| call.cannot_start(&error.to_string()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            let executions = executions(&said).ok_or("it does not say how many inputs it ran")?;
            eprintln!("fuzz: {name} found nothing in {executions} inputs");
            let seconds = began.elapsed().as_secs().min(self.seconds);
            return Ok(Ended::Clean(Run { seconds, executions }));
        }
        let after = files(&self.root.join(folder("artifacts")))?;
        let is_slow = |path: &Path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("slow-unit"))
        };
        let case = after.iter().find(|path| !before.contains(path) && !is_slow(path));
        let text = excerpt(&said);
        let Some(case) = case else {
            return Ok(Ended::Found(format!("{name} ended with {}:\n{text}", output.status)));
        };
        let found = self.root.join(folder("found"));
        fs::create_dir_all(&found)?;
        let file = case.file_name().unwrap_or_default();
        fs::copy(case, found.join(file))?;
        let case = format!("{}/{}", folder("found"), file.to_string_lossy());
        let replay = Call::new(&self.programs.join(name).display().to_string(), "").arg(&case);
        Ok(Ended::Found(format!(
            "{name} broke on {case}:\n{text}\nReplay it with\n    {replay}\nor, without sanitizers, with\n    \
             cargo test -p ferrotape-fuzz --test replay"
        )))
    }
}

/// How many inputs a program says that it ran.
fn executions(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    line.and_then(|count| count.trim().parse().ok())
}

/// The lines from where it broke, as many as a reader wants.
fn excerpt(said: &str) -> String {
    let breaks = ["panicked at", "ERROR:", "SUMMARY:"];
    let begins = |line: &&str| breaks.iter().any(|text| line.contains(text));
    let lines: Vec<&str> = said.lines().collect();
    let first = lines.iter().position(begins).unwrap_or(lines.len().saturating_sub(20));
    lines[first..].iter().take(40).map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_inputs_is_read() {
        let said = "Done 12 runs\nstat::number_of_executed_units: 4321\nstat::x: 1\n";
        assert_eq!(executions(said), Some(4321));
        assert_eq!(executions("nothing"), None);
    }

    #[test]
    fn an_excerpt_begins_where_it_broke() {
        let said = "INFO: Seed\n#1 INITED\nthread 'main' panicked at a.rs:1\nwhy\n";
        assert_eq!(excerpt(said), "    thread 'main' panicked at a.rs:1\n    why\n");
    }
}

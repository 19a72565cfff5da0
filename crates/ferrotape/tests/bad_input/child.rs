//! The process that runs the rows of one section and tells of each.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::SECTIONS;

/// The variable that makes this program a child: the title of the section to run.
pub(crate) const VARIABLE: &str = "FERROTAPE_BAD_INPUT_SECTION";

/// What begins the line that names a row before it runs, and the line that says what came of it.
pub(crate) const BEGIN: &str = "begin ";
pub(crate) const REFUSED: &str = "refused ";
pub(crate) const ACCEPTED: &str = "accepted";
pub(crate) const PANICKED: &str = "panicked";

/// What begins the line after a row that says what it took: seconds, and the most bytes of memory that this
/// process has had until then, or 0 where the system does not say.
pub(crate) const TOOK: &str = "took ";

/// The section that this process is to run, if it is a child.
pub(crate) fn section() -> Option<String> {
    std::env::var(VARIABLE).ok()
}

/// Runs the section.
pub(crate) fn run(title: &str) {
    let (_, cases) = SECTIONS.iter().find(|(name, _)| *name == title).expect("the parent knows it");
    for case in cases() {
        println!("{BEGIN}{}", case.input);
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(case.run));
        let seconds = began.elapsed().as_secs_f64();
        match outcome {
            Ok(Err(error)) => println!("{REFUSED}{}", error.to_string().replace('\n', "\u{b6}")),
            Ok(Ok(())) => println!("{ACCEPTED}"),
            Err(_) => println!("{PANICKED}"),
        }
        println!("{TOOK}{seconds} {}", most_resident().unwrap_or(0));
    }
}

/// The most bytes of this process that were resident at once, where the system has a file that says so.
fn most_resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let text = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = text.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

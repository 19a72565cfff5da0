//! The process that runs the rows of one section and tells of each.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::SECTIONS;

/// The variable that makes this program a child: the title of the section to run.
pub(crate) const VARIABLE: &str = "FERROTAPE_BAD_INPUT_SECTION";

/// What begins the line that names a row before it runs, and the line that says what came of it.
pub(crate) const BEGIN: &str = "begin ";
pub(crate) const REFUSED: &str = "refused ";
pub(crate) const ACCEPTED: &str = "accepted";
pub(crate) const PANICKED: &str = "panicked";

/// The section that this process is to run, if it is a child.
pub(crate) fn section() -> Option<String> {
    std::env::var(VARIABLE).ok()
}

/// Runs the section.
pub(crate) fn run(title: &str) {
    let (_, cases) = SECTIONS.iter().find(|(name, _)| *name == title).expect("the parent knows it");
    for case in cases() {
        println!("{BEGIN}{}", case.input);
        match catch_unwind(AssertUnwindSafe(case.run)) {
            Ok(Err(error)) => println!("{REFUSED}{}", error.to_string().replace('\n', "\u{b6}")),
            Ok(Ok(())) => println!("{ACCEPTED}"),
            Err(_) => println!("{PANICKED}"),
        }
    }
}

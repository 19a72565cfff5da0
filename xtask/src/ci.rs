//! `cargo xtask ci`: everything that must hold before a commit is merged.
//!
//! The order puts what fails most and costs least first. Everything but the last two steps works in
//! the dev profile: the checks share one set of metadata, documentation reuses it, and the tests share
//! their optimised dependencies with this program.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::metadata::{Metadata, Package};
use crate::shell::Call;
use crate::{Result, bad_input, matrix, package, smoke, supply, tidy, torture};

/// What `cargo xtask ci` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The steps to run, in the order of the list; all of them when none is named.
    steps: Vec<Step>,
}

/// The rows of [`Step::Benches`], as criterion selects rows.
const SMALL_ROWS: &str = "lenet5|^gemm/n256/|^tape/|^loader/1x28x28/|^ceiling/fma/";

/// How often [`Step::Torture`] kills.
const KILLS: usize = 25;

/// One named step.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Step {
    /// The sources are formatted.
    Fmt,
    /// Clippy has nothing to say about any target of any crate.
    Clippy,
    /// The documentation builds without a warning.
    Docs,
    /// The house rules hold.
    Tidy,
    /// What this is built from is what `deny.toml` allows.
    Supply,
    /// Every crate can be packed, and its package is small enough.
    Package,
    /// Every crate builds alone, with and without its default features.
    Alone,
    /// All tests pass, those in the documentation included, and prove every operator; the table of bad
    /// input is what they say.
    Test,
    /// The smallest rows of every benchmark program run, each once and untimed.
    Benches,
    /// The main job runs on a slice of the data and leaves what it promises.
    Smoke,
    /// Trainings that are killed end as one that was not.
    Torture,
}

/// Runs the steps asked for and prints the seconds each took.
///
/// # Errors
/// The first step that fails, with the command that repeats it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let metadata = Metadata::read()?;
    let began = Instant::now();
    for &step in Step::value_variants() {
        if !args.steps.is_empty() && !args.steps.contains(&step) {
            continue;
        }
        let began = Instant::now();
        eprintln!("ci: {} ...", step.name());
        step.run(&metadata).map_err(|error| {
            format!(
                "the step `{name}` failed after {seconds}: {error}\nThe whole step again: \
                 cargo xtask ci {name}",
                name = step.name(),
                seconds = seconds(began.elapsed()),
            )
        })?;
        eprintln!("ci: {} passed in {}", step.name(), seconds(began.elapsed()));
    }
    eprintln!("ci: everything passed in {}", seconds(began.elapsed()));
    Ok(())
}

impl Step {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn run(self, metadata: &Metadata) -> Result<()> {
        let root = metadata.workspace_root.as_path();
        match self {
            Self::Fmt => Call::cargo("fmt --all --check").run(root),
            Self::Clippy => {
                Call::cargo("clippy --locked --workspace --all-targets -- -D warnings").run(root)
            }
            Self::Docs => Call::cargo("doc --locked --workspace --no-deps")
                .variable("RUSTDOCFLAGS", "-D warnings")
                .run(root),
            Self::Tidy => tidy::run(),
            Self::Supply => supply::run(),
            Self::Package => package::pack(metadata),
            Self::Alone => metadata.packages.iter().try_for_each(|package| alone(package, root)),
            Self::Test => {
                let record = matrix::empty_folder(metadata, "ci")?;
                let refused = matrix::empty_folder(metadata, "ci-bad-input")?;
                Call::cargo("test --locked --workspace")
                    .variable(matrix::VARIABLE, record.display().to_string())
                    .variable(bad_input::VARIABLE, refused.display().to_string())
                    .run(root)?;
                matrix::check(root, &record)?;
                bad_input::check(root, &refused)
            }
            Self::Benches => Call::cargo("test --quiet --locked -p ferrotape-benches --benches --")
                .arg(SMALL_ROWS)
                .run(root),
            Self::Smoke => smoke::run(root),
            Self::Torture => torture::torture(root, KILLS, 1).map(|said| eprintln!("ci: {said}")),
        }
    }
}

/// Builds one crate by itself, so that no other crate lends it a feature.
fn alone(package: &Package, root: &Path) -> Result<()> {
    for flag in feature_flags(package) {
        // Clippy in place of `check`: it shares the metadata of the step before, and what a missing
        // feature leaves unused is an error.
        let call = Call::cargo(&format!("clippy --quiet --locked -p {} {flag}", package.name));
        call.arg("--").arg("-D").arg("warnings").run(root)?;
    }
    Ok(())
}

/// The flags under which a crate is checked: as it is, without what is on by default, with what is not.
fn feature_flags(package: &Package) -> Vec<&'static str> {
    let defaults = package.features.get("default").map_or(0, Vec::len);
    let optional = package.features.keys().filter(|name| *name != "default").count();
    let mut flags = vec![""];
    if defaults > 0 {
        flags.push("--no-default-features");
    }
    if optional > defaults {
        flags.push("--all-features");
    }
    flags
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(features: &[(&str, &[&str])]) -> Package {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        let features =
            features.iter().map(|&(name, list)| (name.to_owned(), names(list))).collect();
        Package { name: "any".to_owned(), dependencies: Vec::new(), publish: None, features }
    }

    #[test]
    fn a_crate_with_default_features_is_also_checked_without_them() {
        let with = package(&[("default", &["big"]), ("big", &[])]);
        assert_eq!(feature_flags(&with), ["", "--no-default-features"]);
    }

    #[test]
    fn a_crate_with_optional_features_is_also_checked_with_them() {
        assert_eq!(feature_flags(&package(&[])), [""]);
        assert_eq!(
            feature_flags(&package(&[("default", &[]), ("big", &[])])),
            ["", "--all-features"]
        );
        let both = package(&[("default", &["big"]), ("big", &[]), ("cuda", &[])]);
        assert_eq!(feature_flags(&both), ["", "--no-default-features", "--all-features"]);
    }

    #[test]
    fn every_step_has_a_name_that_the_command_line_takes() {
        for &step in Step::value_variants() {
            assert_eq!(Step::from_str(&step.name(), false), Ok(step));
        }
    }
}

//! Every case that is kept is run through its target: the seeds, and what was found before.

use std::fs;
use std::path::{Path, PathBuf};

use ferrotape_fuzz::TARGETS;

/// The largest seed, in bytes. What was found may be longer.
const LARGEST: u64 = 4096;

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_case_that_is_kept_holds_and_every_target_has_some() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let mut broken = Vec::new();
    for target in TARGETS {
        let seeds = files(&folder.join("seeds").join(target.name));
        assert!(!seeds.is_empty(), "{} has no seed", target.name);
        for seed in &seeds {
            assert!(fs::metadata(seed).unwrap().len() <= LARGEST, "{}", seed.display());
        }
        for file in seeds.into_iter().chain(files(&folder.join("found").join(target.name))) {
            let bytes = fs::read(&file).unwrap();
            if std::panic::catch_unwind(|| (target.run)(&bytes)).is_err() {
                broken.push(format!("{} breaks {}", file.display(), target.name));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_folder_of_cases_is_of_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for kind in ["seeds", "found"] {
        for entry in files(&folder.join(kind)) {
            let name = entry.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(TARGETS.iter().any(|target| target.name == name), "{}", entry.display());
        }
    }
}

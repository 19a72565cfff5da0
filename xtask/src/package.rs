//! `cargo xtask package`: every crate as it would be published: whole, small enough, and built from what it
//! packs and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::metadata::Metadata;
use crate::shell::Call;

/// What the registry takes, in bytes.
const MOST_BYTES: u64 = 10 << 20;

/// Publishes all crates without sending them anywhere, each built from its package.
///
/// # Errors
/// A crate that cannot be packed or built, or is too large.
pub(crate) fn run() -> Result<()> {
    let metadata = Metadata::read()?;
    // Where a dry run leaves its packages differs between versions of cargo, so their sizes are of those that
    // are packed before.
    pack(&metadata)?;
    // Cargo takes what an earlier dry run unpacked and built of our packages for that of this one, whatever has
    // changed since, as the version has not.
    let target = metadata.target_directory.join("dry-run");
    let sources = cargo_home().map(|home| home.join("registry/src"));
    let unpacked = sources.iter().flat_map(|sources| unpacked(sources, &metadata));
    for folder in unpacked.chain([target.clone()]).filter(|folder| folder.exists()) {
        fs::remove_dir_all(folder)?;
    }
    Call::cargo("publish --workspace --dry-run --locked --allow-dirty --target-dir")
        .arg(target.display().to_string())
        .run(&metadata.workspace_root)
}

/// Packs all crates that are published without building them.
///
/// # Errors
/// A crate that cannot be packed, or is too large.
pub(crate) fn pack(metadata: &Metadata) -> Result<()> {
    let mut call = "package --quiet --workspace --no-verify --locked --allow-dirty".to_owned();
    for package in metadata.packages.iter().filter(|p| p.publish.as_deref() == Some(&[])) {
        call += &format!(" --exclude {}", package.name);
    }
    let folder = metadata.target_directory.join("package");
    for (name, _) in packages(&folder)? {
        fs::remove_file(folder.join(name))?;
    }
    Call::cargo(&call).run(&metadata.workspace_root)?;
    let found = packages(&folder)?;
    if found.is_empty() {
        return Err(format!("cargo left no package in {}", folder.display()).into());
    }
    for (name, bytes) in &found {
        println!("{:>9.1} kB  {name}", *bytes as f64 / 1e3);
    }
    match too_large(&found) {
        None => Ok(()),
        Some(complaint) => Err(complaint.into()),
    }
}

/// Where cargo keeps what it downloads and unpacks.
fn cargo_home() -> Option<PathBuf> {
    let home = || Some(std::env::home_dir()?.join(".cargo"));
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home)
}

/// What an earlier dry run unpacked of our packages. Its registry has no host, so that the folder begins with the
/// hyphen before the hash.
fn unpacked(sources: &Path, metadata: &Metadata) -> Vec<PathBuf> {
    let folders = |at: &Path| fs::read_dir(at).into_iter().flatten().flatten().map(|e| e.path());
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let is_of_dry_run = |path: &PathBuf| name(path).is_some_and(|name| name.starts_with('-'));
    let is_ours = |path: &PathBuf| {
        let folder = name(path).unwrap_or_default();
        metadata.packages.iter().any(|package| {
            let rest = folder.strip_prefix(&package.name).and_then(|rest| rest.strip_prefix('-'));
            rest.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
        })
    };
    let registries: Vec<PathBuf> = folders(sources).filter(is_of_dry_run).collect();
    registries.iter().flat_map(|at| folders(at)).filter(is_ours).collect()
}

/// The packages in a folder with their sizes, which may not be there yet.
fn packages(folder: &Path) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".crate") {
            found.push((name, entry.metadata()?.len()));
        }
    }
    found.sort();
    Ok(found)
}

fn too_large(packages: &[(String, u64)]) -> Option<String> {
    let (name, bytes) = packages.iter().find(|(_, bytes)| *bytes > MOST_BYTES)?;
    Some(format!(
        "{name} has {bytes} bytes, and the registry takes {MOST_BYTES}; leave files out of it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Package;

    #[test]
    fn a_package_above_the_limit_is_named() {
        let packages = |bytes| vec![("a.crate".to_owned(), 1), ("b.crate".to_owned(), bytes)];
        assert_eq!(too_large(&packages(MOST_BYTES)), None);
        assert!(too_large(&packages(MOST_BYTES + 1)).unwrap().starts_with("b.crate has"));
    }

    #[test]
    fn what_an_earlier_dry_run_unpacked_is_found_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        for folder in ["-0a/our-0.1.0", "-0a/our-own-0.1.0", "-0a/other-1.0.0", "host-0a/our-0.1.0"]
        {
            fs::create_dir_all(place.path().join(folder)).unwrap();
        }
        let (dependencies, features) = (Vec::new(), std::collections::BTreeMap::new());
        let package = Package { name: "our".to_owned(), dependencies, publish: None, features };
        let metadata = Metadata {
            packages: vec![package],
            target_directory: PathBuf::new(),
            workspace_root: PathBuf::new(),
        };
        assert_eq!(unpacked(place.path(), &metadata), [place.path().join("-0a/our-0.1.0")]);
        assert!(unpacked(&place.path().join("none"), &metadata).is_empty());
    }

    #[test]
    fn packages_are_found_by_their_ending() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("a-0.1.0.crate"), [0; 5]).unwrap();
        fs::create_dir(place.path().join("a-0.1.0")).unwrap();
        assert_eq!(packages(place.path()).unwrap(), [("a-0.1.0.crate".to_owned(), 5)]);
        assert_eq!(packages(&place.path().join("none")).unwrap(), []);
    }
}

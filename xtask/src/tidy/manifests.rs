//! The rules about manifests and licences.

use toml::{Table, Value};

use super::Violation;
use super::tree::{File, Tree};

/// What every member takes from the root manifest, as paths of keys that must be `true`.
const INHERITED: &[&str] =
    &["lints.workspace", "package.rust-version.workspace", "package.edition.workspace"];

/// Members whose contents have a licence of their own beside that of the code.
const OWN_LICENCE: &[&str] = &["crates/mnist/Cargo.toml"];

/// A member takes lints, edition, Rust version and licence from the workspace.
pub(super) fn inherits_from_the_workspace(file: &File) -> Vec<Violation> {
    if !is_member(&file.path) {
        return Vec::new();
    }
    let manifest = match file.text.parse::<Table>() {
        Ok(manifest) => Value::Table(manifest),
        Err(error) => return vec![Violation::whole(&file.path, format!("not TOML: {error}"))],
    };
    let inherits = |key: &str| lookup(&manifest, key).and_then(Value::as_bool) == Some(true);
    let mut found = Vec::new();
    for key in INHERITED.iter().filter(|key| !inherits(key)) {
        found.push(Violation::whole(&file.path, format!("must say `{key} = true`")));
    }
    let own = OWN_LICENCE.contains(&file.path.as_str())
        && lookup(&manifest, "package.license").is_some_and(Value::is_str);
    if !own && !inherits("package.license.workspace") {
        found.push(Violation::whole(&file.path, "must say `package.license.workspace = true`"));
    }
    let is_published = lookup(&manifest, "package.publish").and_then(Value::as_bool) != Some(false);
    let readme = lookup(&manifest, "package.readme").is_some();
    if is_published && !readme {
        found.push(Violation::whole(
            &file.path,
            "is published, so it must have a readme: `package.readme.workspace = true`",
        ));
    }
    found
}

/// Both licences are in the root, in full.
pub(super) fn licences_are_there(tree: &Tree) -> Vec<Violation> {
    let expected =
        [("LICENSE-MIT", "Permission is hereby granted"), ("LICENSE-APACHE", "Version 2.0")];
    let is_there =
        |path: &str, phrase: &str| tree.text(path).is_some_and(|text| text.contains(phrase));
    let missing = expected.iter().filter(|(path, phrase)| !is_there(path, phrase));
    missing.map(|(path, _)| Violation::whole(path, "the text of the licence is not here")).collect()
}

fn is_member(path: &str) -> bool {
    let crates = path.strip_prefix("crates/").and_then(|rest| rest.strip_suffix("/Cargo.toml"));
    crates.is_some_and(|name| !name.contains('/'))
        || matches!(path, "benches/Cargo.toml" | "xtask/Cargo.toml")
}

fn lookup<'a>(manifest: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(manifest, |value, key| value.get(key))
}

#[cfg(test)]
mod tests {
    use super::super::tree::{file, tree};
    use super::*;

    const GOOD: &str = "[package]\nname = \"x\"\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\nreadme.workspace = true\n\
        [lints]\nworkspace = true\n";

    fn complaints(path: &str, text: &str) -> Vec<Violation> {
        inherits_from_the_workspace(&file(path, text))
    }

    #[test]
    fn a_good_manifest_passes() {
        assert_eq!(complaints("crates/nn/Cargo.toml", GOOD), []);
    }

    #[test]
    fn each_missing_line_is_reported() {
        for line in [
            "edition.workspace = true\n",
            "rust-version.workspace = true\n",
            "license.workspace = true\n",
            "readme.workspace = true\n",
            "[lints]\nworkspace = true\n",
        ] {
            let text = GOOD.replace(line, "");
            assert_eq!(complaints("crates/nn/Cargo.toml", &text).len(), 1, "{line}");
        }
    }

    #[test]
    fn only_the_digits_have_a_licence_of_their_own() {
        let text = GOOD.replace("license.workspace = true", "license = \"CC-BY-SA-3.0\"");
        assert_eq!(complaints("crates/mnist/Cargo.toml", &text), []);
        assert_eq!(complaints("crates/nn/Cargo.toml", &text).len(), 1);
    }

    #[test]
    fn a_manifest_outside_the_workspace_is_left_alone() {
        assert_eq!(complaints("fuzz/Cargo.toml", ""), []);
        assert_eq!(complaints("crates/nn/tests/x/Cargo.toml", ""), []);
    }

    #[test]
    fn a_manifest_that_is_not_toml_is_reported() {
        assert_eq!(complaints("xtask/Cargo.toml", "[package").len(), 1);
    }

    #[test]
    fn a_missing_or_empty_licence_is_reported() {
        let mit = ("LICENSE-MIT", "Permission is hereby granted");
        assert_eq!(licences_are_there(&tree(&[mit, ("LICENSE-APACHE", "Version 2.0")])), []);
        assert_eq!(licences_are_there(&tree(&[mit, ("LICENSE-APACHE", "")])).len(), 1);
        assert_eq!(licences_are_there(&tree(&[])).len(), 2);
    }
}

//! The rule that every direct dependency from a registry has its reason in docs/dependencies.md.

use std::collections::BTreeSet;

use toml::Table;

use super::Violation;
use super::tree::Tree;

/// The page of the reasons.
const PAGE: &str = "docs/dependencies.md";

/// Where versions are named: members take them from here.
const MANIFEST: &str = "Cargo.toml";

/// The page and the root manifest name the same crates.
pub(super) fn have_a_reason(tree: &Tree) -> Vec<Violation> {
    let (Some(page), Some(manifest)) = (tree.text(PAGE), tree.text(MANIFEST)) else {
        return vec![Violation::whole(PAGE, format!("this page or {MANIFEST} is not there"))];
    };
    let used = match manifest.parse::<Table>() {
        Ok(manifest) => from_registries(&manifest),
        Err(error) => return vec![Violation::whole(MANIFEST, format!("not TOML: {error}"))],
    };
    let explained = rows(page);
    let missing = used.difference(&explained).map(|name| format!("gives no reason for {name}"));
    let unused =
        explained.difference(&used).map(|name| format!("explains {name}, which is not used"));
    missing.chain(unused).map(|message| Violation::whole(PAGE, message)).collect()
}

/// The dependencies of the workspace that are no members.
fn from_registries(manifest: &Table) -> BTreeSet<String> {
    let table = manifest.get("workspace").and_then(|all| all.get("dependencies")?.as_table());
    let foreign = table.into_iter().flatten().filter(|(_, value)| value.get("path").is_none());
    foreign.map(|(name, _)| name.clone()).collect()
}

/// What stands as code at the beginning of the rows of the page's tables.
fn rows(page: &str) -> BTreeSet<String> {
    let first = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    page.lines().filter_map(first).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::tree;
    use super::*;

    #[test]
    fn a_crate_without_a_reason_and_a_reason_without_a_crate_are_reported() {
        let manifest = "[workspace.dependencies]\nown = { path = \"own\" }\na = \"1\"\nb = { version = \"1\" }\n";
        let found = |page: &str| -> Vec<String> {
            let tree = tree(&[(MANIFEST, manifest), (PAGE, page)]);
            have_a_reason(&tree).into_iter().map(|violation| violation.message).collect()
        };
        let whole = "| crate | why |\n| --- | --- |\n| `a` | x |\n| `b` | y |\n";
        assert!(found(whole).is_empty());
        assert_eq!(found("| `a` | x |\n"), ["gives no reason for b"]);
        assert_eq!(found(&format!("{whole}| `own` | z |\n")), ["explains own, which is not used"]);
    }
}

//! The rule that dependencies between members run one way, as docs/architecture.md draws them.

use super::Violation;
use crate::metadata::{Dependency, Metadata, Package};

/// Each member and what it is built on. What those are built on is allowed as well.
const EDGES: &[(&str, &[&str])] = &[
    ("ferrotape-backend", &[]),
    ("ferrotape-cpu", &["ferrotape-backend"]),
    ("ferrotape-cuda", &["ferrotape-backend"]),
    ("ferrotape-autograd", &["ferrotape-backend"]),
    ("ferrotape-nn-derive", &[]),
    ("ferrotape-nn", &["ferrotape-autograd", "ferrotape-nn-derive"]),
    ("ferrotape-gradcheck", &["ferrotape-nn"]),
    ("ferrotape-zoo", &["ferrotape-nn"]),
    ("ferrotape-onnx", &["ferrotape-nn"]),
    ("ferrotape-data", &["ferrotape-backend"]),
    ("ferrotape-mnist", &["ferrotape-data"]),
    ("ferrotape-train", &["ferrotape-nn", "ferrotape-data"]),
    (
        "ferrotape",
        &["ferrotape-cpu", "ferrotape-cuda", "ferrotape-onnx", "ferrotape-train", "ferrotape-zoo"],
    ),
    ("ferrotape-cli", &["ferrotape", "ferrotape-mnist"]),
    ("ferrotape-parity", &["ferrotape", "ferrotape-gradcheck"]),
    ("ferrotape-fuzz", &["ferrotape-parity"]),
    ("ferrotape-benches", &["ferrotape"]),
    ("xtask", &[]),
];

/// What tests of any crate may name besides: a concrete backend, and the laws.
const TESTS_MAY_USE: &[&str] = &["ferrotape-cpu", "ferrotape-cuda", "ferrotape-gradcheck"];

/// What the tests of one crate may name besides. A derive is tested through the trait it derives, an export by
/// the networks of the zoo; the listings and figures of the book, which are tests and an example of `ferrotape`, show digits.
const TESTS_OF: &[(&str, &[&str])] = &[
    ("ferrotape-nn-derive", &["ferrotape-nn"]),
    ("ferrotape-onnx", &["ferrotape-zoo"]),
    ("ferrotape", &["ferrotape-mnist"]),
];

/// Dependencies between members run the way the design draws them.
pub(super) fn run_one_way(metadata: &Metadata) -> Vec<Violation> {
    metadata.packages.iter().flat_map(edges_of).collect()
}

fn edges_of(package: &Package) -> Vec<Violation> {
    let name = package.name.as_str();
    if built_on(name).is_none() {
        return vec![Violation::whole(
            name,
            "this crate is not in the table of edges; add it to xtask/src/tidy/edges.rs",
        )];
    }
    let members = package.dependencies.iter().filter(|edge| built_on(&edge.name).is_some());
    members.filter_map(|edge| complaint(name, edge)).collect()
}

fn complaint(package: &str, edge: &Dependency) -> Option<Violation> {
    let to = edge.name.as_str();
    let is_test = edge.kind.as_deref() == Some("dev");
    let extra = TESTS_MAY_USE.contains(&to) || tests_of(package).any(|name| name == to);
    // A crate's tests may name the crate itself, which is how they switch its features on.
    let allowed = depends_on(package, to) || is_test && (to == package || extra);
    if !allowed {
        let whose = if is_test { "the tests of this crate" } else { "this crate" };
        return Some(Violation::whole(
            package,
            format!("{whose} must not depend on {to}; the design has no such edge"),
        ));
    }
    // A registry refuses a crate whose tests ask for a version of something published after it.
    if is_test && (to == package || depends_on(to, package)) && edge.req != "*" {
        return Some(Violation::whole(
            package,
            format!(
                "{to} is published no sooner than this crate; tests must name it by path alone"
            ),
        ));
    }
    None
}

/// What a member is built on directly, or `None` for a crate that is no member.
fn built_on(name: &str) -> Option<&'static [&'static str]> {
    EDGES.iter().find(|(member, _)| *member == name).map(|&(_, edges)| edges)
}

fn tests_of(package: &str) -> impl Iterator<Item = &'static str> {
    let lists = TESTS_OF.iter().filter(move |(member, _)| *member == package);
    lists.flat_map(|(_, list)| list.iter().copied())
}

/// Whether the table leads from one member to another, in one step or many.
fn depends_on(from: &str, to: &str) -> bool {
    let direct = built_on(from).unwrap_or_default();
    direct.iter().any(|&next| next == to || depends_on(next, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, to: &str, kind: Option<&str>, req: &str) -> Package {
        let edge =
            Dependency { name: to.to_owned(), kind: kind.map(str::to_owned), req: req.to_owned() };
        Package {
            name: name.to_owned(),
            dependencies: vec![edge],
            publish: None,
            features: Default::default(),
        }
    }

    fn holds(name: &str, to: &str, kind: Option<&str>, req: &str) -> bool {
        edges_of(&package(name, to, kind, req)).is_empty()
    }

    #[test]
    fn edges_run_down_and_never_up() {
        for (from, to) in [
            ("ferrotape-autograd", "ferrotape-backend"),
            ("ferrotape-zoo", "ferrotape-backend"),
            ("ferrotape-train", "ferrotape-autograd"),
            ("ferrotape", "ferrotape-cpu"),
            ("ferrotape-cli", "ferrotape-mnist"),
        ] {
            assert!(holds(from, to, None, "^0.1.0"), "{from} to {to}");
            assert!(!holds(to, from, None, "^0.1.0"), "{to} to {from}");
        }
    }

    #[test]
    fn neighbours_do_not_know_each_other() {
        for (from, to) in [
            ("ferrotape-autograd", "ferrotape-cpu"),
            ("ferrotape-nn", "ferrotape-data"),
            ("ferrotape-train", "ferrotape-zoo"),
            ("ferrotape", "ferrotape-mnist"),
            ("ferrotape-benches", "ferrotape-mnist"),
            ("xtask", "ferrotape"),
        ] {
            assert!(!holds(from, to, None, "^0.1.0"), "{from} to {to}");
            assert!(!holds(from, to, Some("build"), "^0.1.0"), "{from} to {to}");
        }
    }

    #[test]
    fn tests_may_name_a_backend_and_the_laws() {
        assert!(holds("ferrotape-nn", "ferrotape-cpu", Some("dev"), "^0.1.0"));
        assert!(holds("ferrotape-nn", "ferrotape-gradcheck", Some("dev"), "*"));
        assert!(!holds("ferrotape-nn", "ferrotape-zoo", Some("dev"), "*"));
    }

    #[test]
    fn the_book_alone_shows_digits() {
        assert!(holds("ferrotape", "ferrotape-mnist", Some("dev"), "^0.1.0"));
        assert!(!holds("ferrotape-zoo", "ferrotape-mnist", Some("dev"), "^0.1.0"));
    }

    #[test]
    fn a_test_names_what_comes_after_it_by_path_alone() {
        assert!(!holds("ferrotape-nn", "ferrotape-gradcheck", Some("dev"), "^0.1.0"));
        assert!(!holds("ferrotape-backend", "ferrotape-cpu", Some("dev"), "^0.1.0"));
        assert!(holds("ferrotape-backend", "ferrotape-cpu", Some("dev"), "*"));
    }

    #[test]
    fn tests_may_name_their_own_crate_by_path_alone() {
        assert!(holds("ferrotape-backend", "ferrotape-backend", Some("dev"), "*"));
        assert!(!holds("ferrotape-backend", "ferrotape-backend", Some("dev"), "^0.1.0"));
        assert!(!holds("ferrotape-backend", "ferrotape-backend", None, "*"));
    }

    #[test]
    fn a_crate_that_the_table_does_not_know_is_reported() {
        assert!(!holds("ferrotape-new", "serde", None, "1"));
    }

    #[test]
    fn a_crate_from_a_registry_is_no_edge() {
        assert!(holds("ferrotape-nn", "serde", None, "1"));
    }
}

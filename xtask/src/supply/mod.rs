//! `cargo xtask supply`: what this workspace is built from is what `deny.toml` allows, and the compiler that
//! checks it is the oldest one promised.
//!
//! The file is that of `cargo deny`, of which the part that needs no network is done here: licences, banned
//! crates, several versions of one crate, and where crates come from. Advisories need its database.

mod licence;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::Result;
use crate::metadata::Metadata;
use crate::shell::Call;

/// The part of `deny.toml` that is checked.
#[derive(Deserialize)]
struct Rules {
    licenses: Licences,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Named>,
    skip: Vec<Named>,
}

/// A crate, or `name@version` of one.
#[derive(Deserialize)]
struct Named {
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

/// What cargo says about everything in the lock file.
#[derive(Deserialize)]
struct Locked {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// `None` for a member.
    source: Option<String>,
}

/// Checks everything, and says how much there was.
///
/// # Errors
/// What is not as it must be.
pub(crate) fn run() -> Result<()> {
    let root = Metadata::read()?.workspace_root;
    let text = read(&root, "deny.toml")?;
    let rules: Rules = toml::from_str(&text).map_err(|error| format!("deny.toml: {error}"))?;
    let metadata = Call::cargo("metadata --locked --format-version 1").read(&root)?;
    let locked: Locked = serde_json::from_str(&metadata)
        .map_err(|error| format!("the answer of cargo metadata was not understood: {error}"))?;
    let mut found = complaints(&rules, &locked.packages);
    let manifest: toml::Table = read(&root, "Cargo.toml")?.parse()?;
    let promised = manifest["workspace"]["package"]["rust-version"].as_str().unwrap_or_default();
    let compiler = Call::new("rustc", "--version").read(&root)?;
    found.extend(other_compiler(promised, &compiler));
    if !found.is_empty() {
        return Err(format!("these are not as they must be:\n    {}", found.join("\n    ")).into());
    }
    let foreign = locked.packages.iter().filter(|package| package.source.is_some()).count();
    println!(
        "{foreign} crates from registries are as deny.toml allows; the compiler is {promised}"
    );
    Ok(())
}

fn read(root: &Path, name: &str) -> Result<String> {
    Ok(fs::read_to_string(root.join(name)).map_err(|error| format!("{name}: {error}"))?)
}

fn complaints(rules: &Rules, packages: &[Package]) -> Vec<String> {
    let mut found = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        let Some(source) = &package.source else { continue };
        let Package { name, version, license, .. } = package;
        versions.entry(name).or_default().push(version);
        let is_known = |url: &String| source.strip_prefix("registry+") == Some(url.as_str());
        if !rules.sources.allow_registry.iter().any(is_known) {
            found.push(format!(
                "{name} {version} comes from {source}, which deny.toml does not name"
            ));
        }
        if rules.bans.deny.iter().any(|banned| banned.name == *name) {
            found.push(format!("{name} {version} is banned by deny.toml"));
        }
        match license.as_deref().map(|text| licence::allows(text, &rules.licenses.allow)) {
            Some(Ok(true)) => {}
            Some(Ok(false)) => found.push(format!(
                "{name} {version} has the licence {}, of which deny.toml allows too little",
                license.as_deref().unwrap_or_default()
            )),
            Some(Err(error)) => found.push(format!("{name} {version}: {error}")),
            None => found.push(format!("{name} {version} names no licence")),
        }
    }
    let skipped: Vec<&str> = rules.bans.skip.iter().map(|skip| skip.name.as_str()).collect();
    for (name, all) in &versions {
        let counted =
            all.iter().filter(|version| !skipped.contains(&format!("{name}@{version}").as_str()));
        if counted.count() > 1 {
            let all = all.join(" and ");
            found.push(format!(
                "{name} is there in the versions {all}; list all but one in deny.toml"
            ));
        }
    }
    for skip in skipped {
        let (name, version) = skip.split_once('@').unwrap_or((skip, ""));
        if versions.get(name).is_none_or(|all| all.len() < 2 || !all.contains(&version)) {
            found.push(format!("deny.toml skips {skip}, which is there once or not at all"));
        }
    }
    found
}

/// What is wrong if the compiler is not the oldest one that is promised.
fn other_compiler(promised: &str, compiler: &str) -> Option<String> {
    let version = compiler.split_whitespace().nth(1).unwrap_or_default();
    let minor = version.rsplit_once('.').map_or(version, |(minor, _)| minor);
    (minor != promised).then(|| {
        format!(
            "the compiler is {version} and Cargo.toml promises {promised}; run the checks with \
             cargo +{promised} xtask ci, or promise {minor}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "registry+https://index.example/one";

    fn rules(skip: &str) -> Rules {
        let text = format!(
            "[licenses]\nallow = [\"MIT\"]\n[bans]\ndeny = [{{ crate = \"bad\" }}]\nskip = [{skip}]\n\
             [sources]\nallow-registry = [\"https://index.example/one\"]\n"
        );
        toml::from_str(&text).unwrap()
    }

    fn package(name: &str, version: &str, license: Option<&str>, source: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            license: license.map(str::to_owned),
            source: Some(source.to_owned()),
        }
    }

    #[test]
    fn each_kind_of_mistake_is_named() {
        for (wrong, said) in [
            (package("a", "1.0.0", Some("GPL-3.0"), INDEX), "allows too little"),
            (package("a", "1.0.0", None, INDEX), "names no licence"),
            (package("a", "1.0.0", Some("(MIT"), INDEX), "not understood"),
            (package("bad", "1.0.0", Some("MIT"), INDEX), "is banned"),
            (package("a", "1.0.0", Some("MIT"), "git+https://index.example/one"), "comes from"),
        ] {
            let found = complaints(&rules(""), &[wrong]);
            assert!(found.len() == 1 && found[0].contains(said), "{said}: {found:?}");
        }
        assert!(complaints(&rules(""), &[package("a", "1.0.0", Some("MIT"), INDEX)]).is_empty());
    }

    #[test]
    fn a_second_version_must_be_listed_and_a_list_must_be_needed() {
        let skip = "{ crate = \"a@1.0.0\" }";
        let both = ["1.0.0", "2.0.0"].map(|version| package("a", version, Some("MIT"), INDEX));
        assert!(complaints(&rules(""), &both)[0].contains("1.0.0 and 2.0.0"));
        assert!(complaints(&rules(skip), &both).is_empty());
        assert!(complaints(&rules(skip), &both[..1])[0].contains("skips a@1.0.0"));
    }

    #[test]
    fn a_newer_compiler_than_promised_is_another() {
        assert_eq!(other_compiler("1.95", "rustc 1.95.3 (abc 2026-01-01)\n"), None);
        let found = other_compiler("1.95", "rustc 1.96.0 (abc 2026-01-01)\n").unwrap();
        assert!(found.contains("cargo +1.95"), "{found}");
    }
}

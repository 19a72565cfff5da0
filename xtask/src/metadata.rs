//! The part of `cargo metadata` that the chores read: members, features and direct dependencies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Result;
use crate::shell::Call;

/// What cargo says about the workspace.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    /// The members, without anything from a registry.
    pub(crate) packages: Vec<Package>,
    /// The folder of the root manifest.
    pub(crate) workspace_root: PathBuf,
    /// Where build outputs go.
    pub(crate) target_directory: PathBuf,
}

/// One member of the workspace.
#[derive(Deserialize)]
pub(crate) struct Package {
    /// The name in its manifest.
    pub(crate) name: String,
    /// Its direct dependencies of every kind.
    pub(crate) dependencies: Vec<Dependency>,
    /// Where it may be published: nowhere, where the list is empty.
    pub(crate) publish: Option<Vec<String>>,
    /// Its features, those that optional dependencies imply included.
    pub(crate) features: BTreeMap<String, Vec<String>>,
}

/// One direct dependency of a member.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    /// The name of the package depended on.
    pub(crate) name: String,
    /// `None` for an ordinary dependency, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// The version asked for; `*` when the manifest names a path alone.
    pub(crate) req: String,
}

impl Metadata {
    /// Asks cargo about the workspace around the current folder.
    ///
    /// # Errors
    /// There is no workspace here, or a manifest is broken.
    pub(crate) fn read() -> Result<Self> {
        let text = Call::cargo("metadata --no-deps --format-version 1").read(Path::new("."))?;
        Ok(serde_json::from_str(&text)
            .map_err(|error| format!("the answer of cargo metadata was not understood: {error}"))?)
    }
}

//! Where a layer or parameter stands in its model.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::{Module, Ties, Visitor};

/// The path of a layer or parameter: `layer3.0.conv1`. The root's path is empty. Cheap to clone.
///
/// ```
/// use ferrotape_nn::Path;
///
/// let conv = Path::root().join("layer3").join("0").join("conv1");
/// assert_eq!(conv.as_str(), "layer3.0.conv1");
/// assert_eq!(conv.parent().as_str(), "layer3.0");
/// assert!(conv.matches("layer3.*"));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Arc<str>);

impl Path {
    /// The path of a whole model.
    ///
    /// ```
    /// use ferrotape_nn::Path;
    ///
    /// let root = Path::root();
    /// assert!(root.is_root() && root.as_str().is_empty());
    /// assert_eq!(root.join("conv1").as_str(), "conv1");
    /// ```
    #[must_use]
    pub fn root() -> Self {
        Path(Arc::from(""))
    }

    /// A path as it is written, names joined by dots.
    ///
    /// ```
    /// assert_eq!(ferrotape_nn::Path::new("fc.weight").name(), "weight");
    /// ```
    #[must_use]
    pub fn new(path: &str) -> Self {
        Path(Arc::from(path))
    }

    /// The path of something inside this; an empty name is this itself.
    ///
    /// ```
    /// let fc = ferrotape_nn::Path::root().join("fc");
    /// assert_eq!(fc.join("bias").as_str(), "fc.bias");
    /// ```
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        match (self.is_root(), name.is_empty()) {
            (_, true) => self.clone(),
            (true, _) => Path::new(name),
            (false, false) => Path(format!("{self}.{name}").into()),
        }
    }

    /// What this is inside of; the root for the root.
    ///
    /// ```
    /// assert!(ferrotape_nn::Path::new("fc").parent().is_root());
    /// ```
    #[must_use]
    pub fn parent(&self) -> Self {
        Path::new(self.0.rsplit_once('.').map_or("", |(parent, _)| parent))
    }

    /// The last name.
    ///
    /// ```
    /// assert_eq!(ferrotape_nn::Path::new("layer1.0").name(), "0");
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('.').map_or(&self.0, |(_, name)| name)
    }

    /// Whether this is the path of a whole model.
    ///
    /// ```
    /// assert!(ferrotape_nn::Path::root().is_root());
    /// ```
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path as it is written.
    ///
    /// ```
    /// assert_eq!(ferrotape_nn::Path::root().as_str(), "");
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the path fits a pattern, in which `*` stands for any run of characters, dots
    /// included, and everything else for itself.
    ///
    /// ```
    /// use ferrotape_nn::Path;
    ///
    /// assert!(Path::new("layer3.0.bn1").matches("*.bn*"));
    /// assert!(!Path::new("layer3.0.conv1").matches("*.bn*"));
    /// ```
    #[must_use]
    pub fn matches(&self, pattern: &str) -> bool {
        glob(pattern, &self.0)
    }

    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

/// Greedy from the left: each piece between stars is taken where it first occurs, the last one at
/// the end.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        match text.find(piece) {
            Some(at) => text = &text[at + piece.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

/// A path is an attribute: it holds no parameters, and clones keep it, except for those that
/// [`Layer::tied`](crate::Layer::tied) makes.
impl Module for Path {
    fn visit(&self, _: &mut Visitor<'_>) {}

    fn clone_with(&self, ties: &mut Ties) -> Self {
        ties.path(self)
    }
}

impl Deref for Path {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Path {
    fn from(path: &str) -> Self {
        Path::new(path)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths() {
        let cases = [
            ("fc", "fc", true),
            ("fc", "fc.weight", false),
            ("*", "", true),
            ("*", "anything.at.all", true),
            ("layer*.bn1", "layer3.0.bn1", true),
            ("layer*.bn1", "layer3.0.bn10", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("ab*ba", "aba", false),
            ("**", "x", true),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(Path::new(path).matches(pattern), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn the_root_adds_nothing_to_a_path() {
        assert_eq!(Path::root().join("a").join("").as_str(), "a");
        assert_eq!(Path::new("a").parent(), Path::root());
    }
}

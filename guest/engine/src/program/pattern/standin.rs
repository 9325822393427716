//! Texts beyond ASCII, made ASCII for a pattern: in the place of each character one stands that the pattern cannot tell
//! from it. To `\bfoo\w+`, `é` is what `Q` is.
//!
//! So the small program for ASCII serves nearly all texts, word boundaries included, and Python's own idea of a word
//! counts. Where there is no such character (`é` in `[A-Za-z0-9_]|\w`), or where the pattern names the one it finds (`é`),
//! the program for all of Unicode is needed.

use std::borrow::Cow;

use regex_syntax::hir::ClassUnicode;

use super::super::classes::{Classifier, Kind};
use super::lower::{Alphabet, ascii_members, ranges};
use super::syntax::{Anchor, Category, Flags, Item, Node, Set};

/// Stand-ins of a pattern.
#[derive(Clone, Debug)]
pub(super) struct StandIns {
    /// By kind; none when every ASCII character is treated differently.
    by_kind: [Option<u8>; Kind::ALL.len()],
    /// Characters beyond ASCII that the pattern names.
    named: ClassUnicode,
}

/// A set of ASCII characters, one bit each.
type Ascii = u128;

/// Ends lines, so it is no stand-in for anything.
const NEWLINE: Ascii = 1 << b'\n';

impl StandIns {
    /// For some trees at once.
    pub(super) fn of<'n>(nodes: impl IntoIterator<Item = &'n Node>) -> Self {
        let mut search = Search { candidates: [!NEWLINE; Kind::ALL.len()], named: ClassUnicode::empty() };
        nodes.into_iter().for_each(|node| search.node(node));
        let by_kind = search.candidates.map(|candidates| {
            // Control characters first, letters from the back.
            let (low, high) = (candidates.trailing_zeros() as u8, candidates.checked_ilog2());
            if low < b' ' { Some(low) } else { high.map(|high| high as u8) }
        });
        Self { by_kind, named: search.named }
    }

    /// A text that is matched where the given one is, and what program it needs. It is borrowed unless characters were
    /// replaced; then it has a byte for each of them.
    pub(super) fn readable<'t>(&self, text: &'t str) -> (Cow<'t, str>, Alphabet) {
        if text.is_ascii() {
            return (Cow::Borrowed(text), Alphabet::Ascii);
        }
        match self.translate(text) {
            Some(translated) => (Cow::Owned(translated), Alphabet::Ascii),
            None => (Cow::Borrowed(text), Alphabet::Unicode),
        }
    }

    /// The text with stand-ins; none when the pattern could tell.
    fn translate(&self, text: &str) -> Option<String> {
        let mut classifier = Classifier::new();
        let mut out = Vec::with_capacity(text.len());
        for character in text.chars() {
            out.push(if character.is_ascii() {
                character as u8
            } else if !self.named.ranges().is_empty() && self.is_named(character) {
                return None;
            } else {
                (*self.by_kind.get(classifier.kind(character) as usize)?)?
            });
        }
        String::from_utf8(out).ok()
    }

    fn is_named(&self, character: char) -> bool {
        self.named.ranges().iter().any(|range| (range.start()..=range.end()).contains(&character))
    }
}

struct Search {
    /// By kind: what may stand in for it, as far as is known.
    candidates: [Ascii; Kind::ALL.len()],
    named: ClassUnicode,
}

impl Search {
    fn node(&mut self, node: &Node) {
        match node {
            // A dot only tells newlines from the rest.
            Node::Empty | Node::Dot(_) => {}
            Node::Character(character, flags) => {
                self.set(&Set { items: vec![Item::Range(*character, *character)], negated: false, flags: *flags });
            }
            Node::Set(set) => self.set(set),
            Node::Anchor(Anchor::Boundary { ascii } | Anchor::NotBoundary { ascii }) => {
                let flags = Flags { ascii: *ascii, ..Flags::default() };
                let word = Item::Category { category: Category::Word, negated: false };
                self.set(&Set { items: vec![word], negated: false, flags });
            }
            Node::Anchor(_) => {}
            Node::Repeat { inner, .. } | Node::Ahead { inner, .. } => self.node(inner),
            Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().for_each(|node| self.node(node)),
        }
    }

    fn set(&mut self, set: &Set) {
        let members = ascii_members(set);
        for (kind, candidates) in Kind::ALL.into_iter().zip(&mut self.candidates) {
            *candidates &= if holds(set, kind) { members } else { !members };
        }
        let mut named = ranges(set);
        named.difference(&ClassUnicode::new([regex_syntax::hir::ClassUnicodeRange::new('\0', '\u{7f}')]));
        self.named.union(&named);
    }
}

/// Whether a set holds the characters of a kind beyond ASCII, except for those it names.
fn holds(set: &Set, kind: Kind) -> bool {
    let held = set.items.iter().any(|item| match item {
        Item::Range(..) => false,
        Item::Category { category, negated } => {
            let member = match category {
                Category::Digit => kind == Kind::Digit,
                Category::Space => kind == Kind::Space,
                Category::Word => matches!(kind, Kind::Word | Kind::Digit),
            };
            (member && !set.flags.ascii) != *negated
        }
    });
    held != set.negated
}

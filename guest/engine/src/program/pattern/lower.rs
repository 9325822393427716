//! Tree → the representation that `regex-automata` compiles, with Python's meaning of `\w`, `\s`, `\d`, `$` and `\Z`
//! (engine.md §4.1, §4.4). No text is written and parsed again: what is not translated cannot change its meaning.

use std::sync::LazyLock;

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Dot, Hir, Look, Repetition};

use super::super::tables;
use super::syntax::{Anchor, Category, Flags, Item, Node, Set};
use super::{MAX_ASCII_PROGRAM, MAX_PROGRAM, PatternError, Use};

/// What a character beyond ASCII costs in a program: its bytes.
const WIDE_COST: u64 = 12;

/// What of a pattern a program is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// All of it.
    Unicode,
    /// Only what can match in ASCII texts: a class is one state then, and word boundaries need no tables. Programs are
    /// ten to a hundred times smaller, and most texts are ASCII.
    Ascii,
}

/// Translates a tree.
///
/// # Errors
/// A look-ahead (those that can be had are taken off before), a `$` that something must follow, too large a program.
pub(super) fn lower(node: &Node, purpose: Use, alphabet: Alphabet) -> Result<Hir, PatternError> {
    let limit = match alphabet {
        Alphabet::Unicode => MAX_PROGRAM,
        Alphabet::Ascii => MAX_ASCII_PROGRAM,
    };
    if cost(node, alphabet) > limit {
        return Err(PatternError::unsupported("a repetition that makes the program too large", 0));
    }
    Lowering { purpose, alphabet }.node(node, Tail { free: true, nothing: true })
}

/// Roughly the states of the program for a tree.
pub(super) fn cost(node: &Node, alphabet: Alphabet) -> u64 {
    let wide = if alphabet == Alphabet::Ascii { 1 } else { WIDE_COST };
    match node {
        Node::Empty | Node::Anchor(_) => 1,
        Node::Character(character, flags) if character.is_ascii() && !flags.ignore_case => 1,
        Node::Character(..) => wide.min(4),
        Node::Dot(_) => wide,
        Node::Set(set) => set.items.iter().fold(1 + u64::from(set.negated) * wide, |sum, item| {
            sum + match item {
                Item::Category { .. } if set.flags.ascii || alphabet == Alphabet::Ascii => 1,
                Item::Category { category: Category::Word, .. } => tables::WORD.len() as u64 / 4,
                Item::Category { category: Category::Digit, .. } => tables::DIGIT.len() as u64 / 4,
                Item::Range(_, last) if last.is_ascii() => 1,
                Item::Category { .. } | Item::Range(..) => wide,
            }
        }),
        Node::Repeat { inner, min, max, .. } => {
            let copies = u64::from(max.unwrap_or(*min)).max(u64::from(*min)).max(1);
            (cost(inner, alphabet) + 1).saturating_mul(copies)
        }
        Node::Concat(nodes) | Node::Alternate(nodes) => {
            nodes.iter().fold(1, |sum: u64, node| sum.saturating_add(cost(node, alphabet)))
        }
        Node::Ahead { inner, .. } => cost(inner, alphabet),
    }
}

/// What must come after a node, up to the end of the pattern.
#[derive(Clone, Copy)]
struct Tail {
    /// It can match nothing ([`Node::is_free`]).
    free: bool,
    /// It matches nothing ([`Node::is_nothing`]).
    nothing: bool,
}

struct Lowering {
    purpose: Use,
    alphabet: Alphabet,
}

impl Lowering {
    fn node(&self, node: &Node, tail: Tail) -> Result<Hir, PatternError> {
        Ok(match node {
            Node::Empty => Hir::empty(),
            Node::Character(character, flags) => self.character(*character, *flags),
            Node::Dot(flags) => match (flags.dot_all, self.alphabet) {
                (true, Alphabet::Unicode) => Hir::dot(Dot::AnyChar),
                (false, Alphabet::Unicode) => Hir::dot(Dot::AnyCharExceptLF),
                (true, Alphabet::Ascii) => Hir::class(Class::Unicode(ascii())),
                (false, Alphabet::Ascii) => {
                    let mut class = ascii();
                    class.difference(&class_of([('\n', '\n')]));
                    Hir::class(Class::Unicode(class))
                }
            },
            Node::Set(set) => Hir::class(Class::Unicode(self.set(set))),
            Node::Anchor(anchor) => self.anchor(*anchor, tail)?,
            Node::Repeat { inner, min, max, greedy } => {
                // Only a round that must come is in the way of a `$`; any round is in the way of putting a newline back.
                let tail = Tail {
                    free: tail.free && (*min <= 1 || inner.is_free()),
                    nothing: tail.nothing && (max.is_some_and(|max| max <= 1) || inner.is_nothing()),
                };
                let sub = Box::new(self.node(inner, tail)?);
                Hir::repetition(Repetition { min: *min, max: *max, greedy: *greedy, sub })
            }
            Node::Concat(nodes) => {
                let mut tail = tail;
                let mut parts = Vec::with_capacity(nodes.len());
                for node in nodes.iter().rev() {
                    parts.push(self.node(node, tail)?);
                    tail = Tail { free: tail.free && node.is_free(), nothing: tail.nothing && node.is_nothing() };
                }
                parts.reverse();
                Hir::concat(parts)
            }
            Node::Alternate(nodes) => {
                Hir::alternation(nodes.iter().map(|node| self.node(node, tail)).collect::<Result<_, _>>()?)
            }
            Node::Ahead { position, .. } => {
                return Err(PatternError::unsupported(
                    "look-ahead anywhere but after a `^` at the start, or in a pattern for redaction",
                    *position,
                ));
            }
        })
    }

    fn character(&self, character: char, flags: Flags) -> Hir {
        if flags.ignore_case {
            let set = Set { items: vec![Item::Range(character, character)], negated: false, flags };
            return Hir::class(Class::Unicode(self.set(&set)));
        }
        if self.alphabet == Alphabet::Ascii && !character.is_ascii() {
            return Hir::fail();
        }
        Hir::literal(character.to_string().into_bytes())
    }

    fn set(&self, set: &Set) -> ClassUnicode {
        let mut class = ranges(set);
        for item in &set.items {
            if let Item::Category { category, negated } = item {
                class.union(&self.category(*category, *negated, set.flags.ascii));
            }
        }
        if set.negated {
            class.negate();
        }
        if self.alphabet == Alphabet::Ascii {
            class.intersect(&ascii());
        }
        class
    }

    fn category(&self, category: Category, negated: bool, ascii_only: bool) -> ClassUnicode {
        let small = ascii_only || self.alphabet == Alphabet::Ascii;
        let mut class = match (category, small) {
            // Without U+001C to U+001F.
            (Category::Space, _) if ascii_only => class_of([('\t', '\r'), (' ', ' ')]),
            (Category::Space, _) => SPACE.clone(),
            (Category::Digit, true) => class_of([('0', '9')]),
            (Category::Digit, false) => DIGIT.clone(),
            (Category::Word, true) => class_of([('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
            (Category::Word, false) => WORD.clone(),
        };
        if negated {
            class.negate();
        }
        class
    }

    fn anchor(&self, anchor: Anchor, tail: Tail) -> Result<Hir, PatternError> {
        Ok(match anchor {
            Anchor::TextStart => Hir::look(Look::Start),
            Anchor::LineStart => Hir::look(Look::StartLF),
            Anchor::TextEnd => Hir::look(Look::End),
            Anchor::LineEnd => Hir::look(Look::EndLF),
            Anchor::Boundary { ascii } if ascii || self.alphabet == Alphabet::Ascii => Hir::look(Look::WordAscii),
            Anchor::NotBoundary { ascii } if ascii || self.alphabet == Alphabet::Ascii => {
                Hir::look(Look::WordAsciiNegate)
            }
            Anchor::Boundary { .. } => Hir::look(Look::WordUnicode),
            Anchor::NotBoundary { .. } => Hir::look(Look::WordUnicodeNegate),
            Anchor::End(position) => {
                let (fits, newline) = match self.purpose {
                    Use::Search => (tail.free, Hir::literal(*b"\n")),
                    // Where the newline is known, it can be put back.
                    Use::Replace => {
                        let sub = Box::new(Hir::literal(*b"\n"));
                        (tail.nothing, Hir::capture(Capture { index: 1, name: None, sub }))
                    }
                };
                if !fits {
                    return Err(PatternError::unsupported("`$` before something that must match", position));
                }
                let newline =
                    Hir::repetition(Repetition { min: 0, max: Some(1), greedy: true, sub: Box::new(newline) });
                Hir::concat(vec![newline, Hir::look(Look::End)])
            }
        })
    }
}

static DIGIT: LazyLock<ClassUnicode> = LazyLock::new(|| of_table(&tables::DIGIT));
static SPACE: LazyLock<ClassUnicode> = LazyLock::new(|| of_table(&tables::SPACE));
static WORD: LazyLock<ClassUnicode> = LazyLock::new(|| of_table(&tables::WORD));

fn of_table(table: &[u32]) -> ClassUnicode {
    class_of(table.chunks_exact(2).filter_map(|range| {
        let [first, last] = *range else { return None };
        Some((char::from_u32(first)?, char::from_u32(last)?))
    }))
}

/// The ranges of a set, in both cases where case is ignored.
pub(super) fn ranges(set: &Set) -> ClassUnicode {
    if let [Item::Range(first, last)] = set.items.as_slice()
        && first == last
        && first.is_ascii_alphabetic()
        && set.flags.ignore_case
        && (set.flags.ascii || !matches!(first, 'k' | 'K' | 's' | 'S'))
    {
        // Most letters have no further case: what the table would say, without asking it for each letter of a pattern.
        let (upper, lower) = (first.to_ascii_uppercase(), first.to_ascii_lowercase());
        return class_of([(upper, upper), (lower, lower)]);
    }
    let mut class = class_of(set.items.iter().filter_map(|item| match item {
        Item::Range(first, last) => Some((*first, *last)),
        Item::Category { .. } => None,
    }));
    if set.flags.ignore_case {
        fold(&mut class, set.flags.ascii);
    }
    class
}

/// The ASCII characters of a set, one bit each.
pub(super) fn ascii_members(set: &Set) -> u128 {
    let class = Lowering { purpose: Use::Search, alphabet: Alphabet::Ascii }.set(set);
    class
        .ranges()
        .iter()
        .flat_map(|range| range.start()..=range.end())
        .fold(0, |bits, member| bits | 1 << u32::from(member))
}

fn class_of(ranges: impl IntoIterator<Item = (char, char)>) -> ClassUnicode {
    ClassUnicode::new(ranges.into_iter().map(|(first, last)| ClassUnicodeRange::new(first, last)))
}

fn ascii() -> ClassUnicode {
    class_of([('\0', '\u{7f}')])
}

/// Adds the other case of every member.
fn fold(class: &mut ClassUnicode, ascii_only: bool) {
    if !ascii_only {
        // The table is compiled in; without it a class would stay as it is.
        let _ = class.try_case_fold_simple();
        return;
    }
    for (lower, upper) in [('a', 'A'), ('A', 'a')] {
        let mut letters = class.clone();
        letters.intersect(&class_of([(lower, char::from(lower as u8 + 25))]));
        class.union(&class_of(letters.ranges().iter().filter_map(|range| {
            let other = |character: char| char::from_u32(character as u32 - lower as u32 + upper as u32);
            Some((other(range.start())?, other(range.end())?))
        })));
    }
}

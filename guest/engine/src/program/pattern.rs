//! Python's regular expressions (`re` of 3.11, search, no flags) on a linear-time engine (engine.md §4).
//!
//! `parser` reads Python's syntax into a tree (`syntax`) and refuses what Python refuses; `lower` translates the tree for
//! `regex-automata`; `required` finds literals that spare a search. What no linear-time engine can do with Python's
//! meaning is an error at load, never another meaning.
//!
//! Programs are built when they are first needed, one for ASCII texts and one for others: a policy may hold a thousand
//! patterns of which a call needs three.

mod lower;
mod parser;
mod required;
mod standin;
mod syntax;
#[cfg(test)]
mod tests;
mod tokens;
mod union;

use std::borrow::Cow;
use std::sync::OnceLock;

use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::Hir;

use self::lower::{Alphabet, lower};
pub(super) use self::required::Required;
use self::standin::StandIns;
use self::syntax::{Anchor, Node};
pub(super) use self::union::Union;
use crate::diagnostics::Code;

/// Longest pattern, in code points.
pub const MAX_PATTERN: usize = 10_000;

/// A text above so many bytes is not searched: the rule's policy error (engine.md §3.3).
pub const MAX_SUBJECT: usize = 1024 * 1024;

/// Longest part of a pattern that a finding shows, in code points.
const SHOWN_PATTERN: usize = 100;

/// Deepest nesting of groups.
const MAX_NESTING: usize = 100;

/// Largest program of a pattern for all of Unicode, roughly in states. It is seldom needed.
const MAX_PROGRAM: u64 = 250_000;

/// Largest program of a pattern for ASCII texts, roughly in states.
const MAX_ASCII_PROGRAM: u64 = 50_000;

/// Bytes that a search may use to remember what it has worked out; when they are full, it starts over.
const CACHE_CAPACITY: usize = 256 * 1024;

/// What a pattern is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// [`Pattern::is_match`] only.
    Search,
    /// [`Pattern::replace_all`] too; refuses what only a yes or no can be had of, and what matches the empty text.
    Replace,
}

/// A compiled pattern.
pub struct Pattern {
    source: Box<str>,
    purpose: Use,
    /// Whether the empty text matches, where Python's `\B` is odd.
    empty_text: bool,
    /// Whether it can match nothing at all at some place.
    nullable: bool,
    /// Roughly the states of its program for ASCII texts.
    cost: u64,
    required: Option<Required>,
    stand_ins: StandIns,
    ascii: OnceLock<Option<Machine>>,
    unicode: OnceLock<Option<Machine>>,
}

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    /// [`Code::RegexSyntax`] when Python refuses it too, [`Code::RegexUnsupported`] otherwise.
    pub code: Code,
    /// What was found, as in `look-behind`.
    pub construct: String,
    /// Code points before it.
    pub position: usize,
    /// For people: construct and position.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl PatternError {
    fn syntax(construct: impl Into<String>, position: usize) -> Self {
        let construct = construct.into();
        let message = format!("{construct} at position {position}");
        Self { code: Code::RegexSyntax, construct, position, message, help: None }
    }

    fn unsupported(construct: impl Into<String>, position: usize) -> Self {
        let construct = construct.into();
        let message = format!("{construct} at position {position} is not supported");
        let help = Some("rewrite without it; combine two conditions with all/not".to_owned());
        Self { code: Code::RegexUnsupported, construct, position, message, help }
    }
}

impl PatternError {
    /// What a finding says of it: the rule, as much of the pattern as can be shown, and what is wrong.
    #[must_use]
    pub fn in_rule(&self, rule: &str, source: &str) -> String {
        let mut shown: String = source.chars().take(SHOWN_PATTERN).collect();
        if shown.len() < source.len() {
            shown.push('…');
        }
        format!("rule `{rule}`: regex `{shown}`: {}", self.message)
    }

    /// One pattern more than a policy may hold.
    pub(crate) fn too_many() -> Self {
        let mut error = Self::unsupported("a pattern that makes the patterns of the policy too large together", 0);
        error.help = Some("use fewer or shorter repetitions with bounds".to_owned());
        error
    }
}

/// One alternative of a pattern: what must be ahead of the start, what must not, and the rest.
struct Clause {
    ahead: Vec<(bool, Node)>,
    main: Node,
}

/// Programs of the alternatives.
struct Machine {
    clauses: Vec<Program>,
}

struct Program {
    /// Anchored at the start; whether it must not match.
    ahead: Vec<(bool, Regex)>,
    main: Regex,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Syntax errors of Python's, constructs that need backtracking, patterns that are too long or too large.
    pub fn compile(python_regex: &str, purpose: Use) -> Result<Self, PatternError> {
        if python_regex.chars().nth(MAX_PATTERN).is_some() {
            let construct = format!("a pattern of more than {MAX_PATTERN} characters");
            return Err(PatternError::unsupported(construct, MAX_PATTERN));
        }
        let tree = parser::parse(python_regex)?;
        let empty_text = tree.matches_empty_text();
        let nullable = tree.shortest() == 0;
        if nullable && purpose == Use::Replace {
            let mut error = PatternError::unsupported("a pattern for redaction that matches the empty text", 0);
            error.help = Some("use `+` instead of `*`, or name a character that must be there".to_owned());
            return Err(error);
        }
        let cost = lower::cost(&tree, Alphabet::Ascii);
        let stand_ins = StandIns::of([&tree]);
        if cost > MAX_ASCII_PROGRAM {
            return Err(PatternError::unsupported("a repetition that makes the program too large", 0));
        }
        let mains = lowered(tree, purpose, Alphabet::Unicode)?.into_iter().map(|(_, main)| main).collect();
        let required = required::required(&Hir::alternation(mains));
        Ok(Self {
            source: python_regex.into(),
            purpose,
            empty_text,
            nullable,
            cost,
            required,
            stand_ins,
            ascii: OnceLock::new(),
            unicode: OnceLock::new(),
        })
    }

    /// As written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it matches somewhere in the text. The cap of [`MAX_SUBJECT`] is for callers to keep.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.search(text).unwrap_or(false)
    }

    /// As [`Pattern::is_match`]. `None`: the program could not be built, although the pattern was found good at load; a
    /// caller that can must take it for a policy error.
    #[must_use]
    pub fn search(&self, text: &str) -> Option<bool> {
        if text.is_empty() {
            return Some(self.empty_text);
        }
        let (text, alphabet) = self.stand_ins.readable(text);
        let text = &*text;
        let machine = self.machine(alphabet)?;
        Some(machine.clauses.iter().any(|clause| {
            let start = || Input::new(text).anchored(Anchored::Yes);
            clause.ahead.iter().all(|(negated, ahead)| ahead.is_match(start()) != *negated)
                && clause.main.is_match(text)
        }))
    }

    /// Replaces every match by a text (taken literally). Only for [`Use::Replace`]; else the text comes back as it is.
    #[must_use]
    pub fn replace_all<'t>(&self, text: &'t str, by: &str) -> Cow<'t, str> {
        if self.purpose != Use::Replace {
            return Cow::Borrowed(text);
        }
        let (readable, alphabet) = self.stand_ins.readable(text);
        let Some([clause]) = self.machine(alphabet).map(|machine| machine.clauses.as_slice()) else {
            return Cow::Borrowed(text);
        };
        // Where characters have stand-ins, a byte of what is read is a character of the text.
        let bytes: Option<Vec<usize>> =
            matches!(readable, Cow::Owned(_)).then(|| text.char_indices().map(|(byte, _)| byte).collect());
        let place = |at: usize| match &bytes {
            Some(bytes) => bytes.get(at).copied().unwrap_or(text.len()),
            None => at,
        };
        let mut groups = clause.main.create_captures();
        let mut out = String::new();
        let (mut read, mut copied) = (0, 0);
        loop {
            clause.main.search_captures(&Input::new(&*readable).span(read..readable.len()), &mut groups);
            let Some(found) = groups.get_match() else { break };
            // The newline that a `$` looked past is not part of the match.
            let end = groups.get_group(1).map_or(found.end(), |newline| newline.start);
            if end <= read {
                break;
            }
            out.push_str(text.get(copied..place(found.start())).unwrap_or_default());
            out.push_str(by);
            (read, copied) = (end, place(end));
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        Cow::Owned(out)
    }

    /// Literals that every matching text has one of.
    pub(super) const fn required(&self) -> Option<&Required> {
        self.required.as_ref()
    }

    /// Whether it can match nothing at all at some place, so that to look for it spares nothing.
    pub(super) const fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// Roughly the states of its program for ASCII texts.
    pub(crate) const fn cost(&self) -> u64 {
        self.cost
    }

    fn machine(&self, alphabet: Alphabet) -> Option<&Machine> {
        let place = match alphabet {
            Alphabet::Ascii => &self.ascii,
            Alphabet::Unicode => &self.unicode,
        };
        place.get_or_init(|| Machine::build(&self.source, self.purpose, alphabet)).as_ref()
    }
}

impl Machine {
    fn build(source: &str, purpose: Use, alphabet: Alphabet) -> Option<Self> {
        let clauses = lowered(parser::parse(source).ok()?, purpose, alphabet).ok()?;
        let captures = if purpose == Use::Replace { WhichCaptures::All } else { WhichCaptures::None };
        let build = |hir: &Hir| program(std::slice::from_ref(hir), captures);
        let clauses = clauses
            .into_iter()
            .map(|(ahead, main)| {
                let ahead = ahead.iter().map(|(negated, hir)| Some((*negated, build(hir)?))).collect::<Option<_>>()?;
                Some(Program { ahead, main: build(&main)? })
            })
            .collect::<Option<_>>()?;
        Some(Self { clauses })
    }
}

/// Builds one program for some alternatives.
fn program(alternatives: &[Hir], captures: WhichCaptures) -> Option<Regex> {
    // Its size was checked when the pattern was compiled.
    let config = Regex::config()
        .which_captures(captures)
        .nfa_size_limit(None)
        .onepass(false)
        .hybrid_cache_capacity(CACHE_CAPACITY);
    Regex::builder().configure(config).build_many_from_hir(alternatives).ok()
}

/// Look-aheads and the rest of each alternative, translated.
type Lowered = Vec<(Vec<(bool, Hir)>, Hir)>;

fn lowered(tree: Node, purpose: Use, alphabet: Alphabet) -> Result<Lowered, PatternError> {
    clauses(tree, purpose)
        .iter()
        .map(|clause| {
            let ahead = clause.ahead.iter();
            let ahead = ahead.map(|(negated, node)| Ok((*negated, lower(node, purpose, alphabet)?)));
            Ok((ahead.collect::<Result<_, _>>()?, lower(&clause.main, purpose, alphabet)?))
        })
        .collect()
}

/// Takes look-aheads off the start of the pattern's alternatives, where a yes or no can be had without them:
/// `^(?!A)B` is found when `B` is found at the start and `A` is not (engine.md §4.1).
fn clauses(tree: Node, purpose: Use) -> Vec<Clause> {
    let leading = |node: &Node| {
        matches!(node, Node::Concat(parts)
            if matches!(parts.as_slice(), [Node::Anchor(Anchor::TextStart), Node::Ahead { .. }, ..]))
    };
    let branches = match tree {
        Node::Alternate(branches) if purpose == Use::Search && branches.iter().any(leading) => branches,
        other => vec![other],
    };
    let mut clauses = Vec::new();
    let mut plain = Vec::new();
    for branch in branches {
        match branch {
            Node::Concat(parts) if purpose == Use::Search && leading(&Node::Concat(parts.clone())) => {
                let mut ahead = Vec::new();
                let mut main = Vec::new();
                for part in parts {
                    match part {
                        Node::Ahead { inner, negated, .. } if main.len() == 1 => ahead.push((negated, *inner)),
                        other => main.push(other),
                    }
                }
                clauses.push(Clause { ahead, main: Node::Concat(main) });
            }
            other => plain.push(other),
        }
    }
    if !plain.is_empty() {
        let main = if plain.len() == 1 { plain.pop().unwrap_or(Node::Empty) } else { Node::Alternate(plain) };
        clauses.push(Clause { ahead: Vec::new(), main });
    }
    clauses
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Pattern").field(&self.source).finish()
    }
}

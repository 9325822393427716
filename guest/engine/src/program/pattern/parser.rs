//! Python's pattern syntax, as of 3.11, into a tree. What Python refuses is an error here; what Python accepts and no
//! linear-time engine can do is remembered, so that a syntax error further on is still found (engine.md §4.2, §4.3).

use std::collections::BTreeMap;

use super::syntax::{Anchor, Category, Flags, Item, Node, Set};
use super::tokens::{Token, Tokens};
use super::{MAX_NESTING, PatternError};

/// Python's bound of a repetition.
const MAX_REPEAT: u64 = 0xffff_ffff;

/// Parses a pattern.
///
/// # Errors
/// What Python refuses, or else the first construct that is not supported.
pub(super) fn parse(pattern: &str) -> Result<Node, PatternError> {
    let mut parser = Parser {
        tokens: Tokens::new(pattern)?,
        flags: Flags::default(),
        asked: Letters::default(),
        groups: vec![true],
        names: BTreeMap::new(),
        conditions: Vec::new(),
        look_behind: None,
        depth: 0,
        unsupported: None,
    };
    let node = parser.alternation(None)?;
    if parser.tokens.peek().is_some() {
        return Err(PatternError::syntax("an unbalanced parenthesis", parser.tokens.position()));
    }
    if parser.asked.ascii && parser.asked.unicode {
        return Err(PatternError::syntax("the flags `a` and `u` together", 0));
    }
    if let Some((_, position)) = parser.conditions.iter().find(|(group, _)| *group >= parser.groups.len()) {
        return Err(PatternError::syntax("a reference to a group that does not exist", *position));
    }
    match parser.unsupported {
        Some(error) => Err(error),
        None => Ok(node),
    }
}

struct Parser {
    tokens: Tokens,
    /// Global flags in force.
    flags: Flags,
    /// Global flags that were written.
    asked: Letters,
    /// Which groups are closed. The first is the whole pattern.
    groups: Vec<bool>,
    names: BTreeMap<String, usize>,
    /// Groups that conditions ask for, and where.
    conditions: Vec<(usize, usize)>,
    /// Number of groups before the outermost look-behind that is open.
    look_behind: Option<usize>,
    depth: usize,
    unsupported: Option<PatternError>,
}

/// What may follow a node that was just read.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    /// Nothing was read, or nothing that a quantifier can follow.
    Nothing,
    Item,
    Repeated,
}

impl Parser {
    fn refuse(&mut self, construct: impl Into<String>, position: usize) {
        self.unsupported.get_or_insert_with(|| PatternError::unsupported(construct, position));
    }

    /// Branches. `scoped` are the flags of a group; none at the top, where global flags may still change them.
    fn alternation(&mut self, scoped: Option<Flags>) -> Result<Node, PatternError> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(PatternError::unsupported("nesting that is too deep", self.tokens.position()));
        }
        let mut branches = Vec::new();
        loop {
            branches.push(self.branch(scoped, branches.is_empty())?);
            if !self.tokens.take('|') {
                break;
            }
        }
        self.depth -= 1;
        Ok(if branches.len() == 1 { branches.pop().unwrap_or(Node::Empty) } else { Node::Alternate(branches) })
    }

    fn branch(&mut self, scoped: Option<Flags>, first: bool) -> Result<Node, PatternError> {
        let mut nodes: Vec<Node> = Vec::new();
        let mut last = Last::Nothing;
        while let Some(token) = self.tokens.peek() {
            if matches!(token, Token::Plain('|' | ')')) {
                break;
            }
            let start = self.tokens.position();
            self.tokens.next();
            let flags = scoped.unwrap_or(self.flags);
            let read = match token {
                Token::Plain(' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}') if flags.verbose => None,
                Token::Plain('#') if flags.verbose => {
                    while self.tokens.next().is_some_and(|token| token != Token::Plain('\n')) {}
                    None
                }
                Token::Escaped(character) => Some(self.escape(character, flags, start)?),
                Token::Plain('[') => Some(self.set(flags, start)?),
                Token::Plain('.') => Some(Node::Dot(flags)),
                Token::Plain('^') if flags.multi_line => Some(Node::Anchor(Anchor::LineStart)),
                Token::Plain('^') => Some(Node::Anchor(Anchor::TextStart)),
                Token::Plain('$') if flags.multi_line => Some(Node::Anchor(Anchor::LineEnd)),
                Token::Plain('$') => Some(Node::Anchor(Anchor::End(start))),
                Token::Plain('(') => {
                    let at_start = scoped.is_none() && first && nodes.is_empty();
                    self.group(flags, start, at_start)?
                }
                Token::Plain(character) => match self.quantifier(character, start)? {
                    None => Some(Node::Character(character, flags)),
                    Some((min, max)) => {
                        let what = match last {
                            Last::Item => None,
                            Last::Nothing => Some("a quantifier with nothing to repeat"),
                            Last::Repeated => Some("a quantifier after a quantifier"),
                        };
                        if let Some(what) = what {
                            return Err(PatternError::syntax(what, start));
                        }
                        let greedy = !self.tokens.take('?');
                        if greedy && self.tokens.take('+') {
                            self.refuse("a possessive quantifier", start);
                        }
                        let inner = Box::new(nodes.pop().unwrap_or(Node::Empty));
                        nodes.push(Node::Repeat { inner, min, max, greedy });
                        last = Last::Repeated;
                        None
                    }
                },
            };
            if let Some(node) = read {
                last = if matches!(node, Node::Anchor(_)) { Last::Nothing } else { Last::Item };
                nodes.push(node);
            }
        }
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.pop().unwrap_or(Node::Empty),
            _ => Node::Concat(nodes),
        })
    }

    /// The bounds, when the character (already read) begins a quantifier.
    fn quantifier(&mut self, character: char, start: usize) -> Result<Option<(u32, Option<u32>)>, PatternError> {
        match character {
            '*' => return Ok(Some((0, None))),
            '+' => return Ok(Some((1, None))),
            '?' => return Ok(Some((0, Some(1)))),
            '{' => {}
            _ => return Ok(None),
        }
        let after = self.tokens.position();
        if self.tokens.peek() == Some(Token::Plain('}')) {
            return Ok(None);
        }
        let least = self.tokens.digits(usize::MAX, 10);
        let most = if self.tokens.take(',') { self.tokens.digits(usize::MAX, 10) } else { least.clone() };
        if !self.tokens.take('}') {
            // Not a quantifier: the brace is a brace.
            self.tokens.seek(after);
            return Ok(None);
        }
        let bound = |digits: &str| match digits.parse::<u64>() {
            _ if digits.is_empty() => Ok(None),
            Ok(number) if number < MAX_REPEAT => Ok(u32::try_from(number).ok()),
            _ => Err(PatternError::syntax("a repetition that is too large", start)),
        };
        let (min, max) = (bound(&least)?, bound(&most)?);
        if max.is_some_and(|max| max < min.unwrap_or(0)) {
            return Err(PatternError::syntax("a repetition whose least is more than its most", start));
        }
        Ok(Some((min.unwrap_or(0), max)))
    }

    /// After the bracket. `None`: it stands for nothing (a comment, global flags).
    fn group(&mut self, flags: Flags, start: usize, at_start: bool) -> Result<Option<Node>, PatternError> {
        if !self.tokens.take('?') {
            return self.capture(flags, start).map(Some);
        }
        let Some(token) = self.tokens.next() else {
            return Err(PatternError::syntax("a group that ends too early", start));
        };
        match token {
            Token::Plain('P') => self.named(flags, start).map(Some),
            Token::Plain(':') => self.body(flags, start).map(Some),
            Token::Plain('#') => loop {
                match self.tokens.next() {
                    Some(Token::Plain(')')) => return Ok(None),
                    Some(_) => {}
                    None => return Err(PatternError::syntax("a comment without end", start)),
                }
            },
            Token::Plain(sign @ ('=' | '!')) => {
                let inner = Box::new(self.body(flags, start)?);
                Ok(Some(Node::Ahead { inner, negated: sign == '!', position: start }))
            }
            Token::Plain('<') => {
                if !self.tokens.take('=') && !self.tokens.take('!') {
                    return Err(PatternError::syntax("an unknown group after `(?<`", start));
                }
                self.refuse("look-behind", start);
                let outermost = self.look_behind.is_none();
                self.look_behind.get_or_insert(self.groups.len());
                self.body(flags, start)?;
                if outermost {
                    self.look_behind = None;
                }
                Ok(Some(Node::Empty))
            }
            Token::Plain('(') => self.condition(flags, start).map(Some),
            Token::Plain('>') => {
                self.refuse("an atomic group", start);
                self.body(flags, start).map(Some)
            }
            Token::Plain(letter @ ('a' | 'i' | 'm' | 's' | 'x' | 'u' | 'L' | 't' | '-')) => {
                match self.flag_letters(letter, flags, start)? {
                    Some(scoped) => self.body(scoped, start).map(Some),
                    None if at_start => Ok(None),
                    None => Err(PatternError::syntax("global flags that are not at the start", start)),
                }
            }
            Token::Plain(_) | Token::Escaped(_) => Err(PatternError::syntax("an unknown group", start)),
        }
    }

    /// Branches and the closing bracket.
    fn body(&mut self, flags: Flags, start: usize) -> Result<Node, PatternError> {
        let node = self.alternation(Some(flags))?;
        if self.tokens.take(')') {
            // A single anchor in a group may be repeated, a bare one may not.
            Ok(if matches!(node, Node::Anchor(_)) { Node::Concat(vec![node]) } else { node })
        } else {
            Err(PatternError::syntax("a group without end", start))
        }
    }

    fn capture(&mut self, flags: Flags, start: usize) -> Result<Node, PatternError> {
        let group = self.groups.len();
        self.groups.push(false);
        let node = self.body(flags, start)?;
        if let Some(closed) = self.groups.get_mut(group) {
            *closed = true;
        }
        Ok(node)
    }

    /// After `(?P`.
    fn named(&mut self, flags: Flags, start: usize) -> Result<Node, PatternError> {
        if self.tokens.take('<') {
            let name = self.name('>', start)?;
            if self.names.insert(name, self.groups.len()).is_some() {
                return Err(PatternError::syntax("a group name that is taken", start));
            }
            return self.capture(flags, start);
        }
        if self.tokens.take('=') {
            let name = self.name(')', start)?;
            let Some(group) = self.names.get(&name).copied() else {
                return Err(PatternError::syntax("a reference to a group that does not exist", start));
            };
            return self.reference(group, start);
        }
        Err(PatternError::syntax("an unknown group after `(?P`", start))
    }

    fn name(&mut self, end: char, start: usize) -> Result<String, PatternError> {
        let name = self.tokens.until(end)?;
        if is_identifier(&name) { Ok(name) } else { Err(PatternError::syntax("a group name that is not one", start)) }
    }

    fn reference(&mut self, group: usize, start: usize) -> Result<Node, PatternError> {
        match self.groups.get(group) {
            None => Err(PatternError::syntax("a reference to a group that does not exist", start)),
            Some(false) => Err(PatternError::syntax("a reference to a group that is open", start)),
            Some(true) if self.look_behind.is_some_and(|before| group >= before) => {
                Err(PatternError::syntax("a reference to a group of the same look-behind", start))
            }
            Some(true) => {
                self.refuse("a back-reference", start);
                Ok(Node::Empty)
            }
        }
    }

    /// After `(?(`.
    fn condition(&mut self, flags: Flags, start: usize) -> Result<Node, PatternError> {
        let name = self.tokens.until(')')?;
        let group = if is_identifier(&name) {
            self.names.get(&name).copied()
        } else {
            // Python reads the number with `int`.
            let digits = name.trim().trim_start_matches('+');
            digits.parse::<usize>().ok().filter(|group| (1..=100_000_000).contains(group))
        };
        let Some(group) = group else {
            return Err(PatternError::syntax("a condition on a group that does not exist", start));
        };
        if let Some(before) = self.look_behind
            && (group >= before || self.groups.get(group) != Some(&true))
        {
            return Err(PatternError::syntax("a reference to a group of the same look-behind", start));
        }
        self.conditions.push((group, start));
        self.refuse("a conditional group", start);
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(PatternError::unsupported("nesting that is too deep", start));
        }
        self.branch(Some(flags), false)?;
        if self.tokens.take('|') {
            self.branch(Some(flags), false)?;
        }
        self.depth -= 1;
        if self.tokens.take(')') {
            Ok(Node::Empty)
        } else {
            Err(PatternError::syntax("a conditional group without end, or with more than two branches", start))
        }
    }

    /// After `(?` and its first letter. Flags of the group that begins here; none: they were global, and are set.
    fn flag_letters(&mut self, first: char, flags: Flags, start: usize) -> Result<Option<Flags>, PatternError> {
        let mut add = Letters::default();
        let mut remove = Letters::default();
        let mut letter = first;
        while letter != '-' && letter != ':' && letter != ')' {
            add.take(letter, start)?;
            letter = self.flag_letter(start)?;
        }
        if letter == ')' {
            add.apply(&mut self.flags, true);
            self.asked.ascii |= add.ascii;
            self.asked.unicode |= add.unicode;
            if add.template {
                self.refuse("the flag `t`", start);
            }
            return Ok(None);
        }
        if letter == '-' {
            letter = self.flag_letter(start)?;
            if matches!(letter, ':' | ')' | '-') {
                return Err(PatternError::syntax("a missing flag", start));
            }
            while letter != ':' {
                if matches!(letter, 'a' | 'u' | 'L' | '-' | ')') {
                    return Err(PatternError::syntax("a flag that cannot be turned off", start));
                }
                remove.take(letter, start)?;
                letter = self.flag_letter(start)?;
            }
        }
        if add.template || remove.template {
            return Err(PatternError::syntax("a global flag in a group", start));
        }
        if add.overlaps(&remove) {
            return Err(PatternError::syntax("a flag that is turned on and off", start));
        }
        let mut scoped = flags;
        add.apply(&mut scoped, true);
        remove.apply(&mut scoped, false);
        Ok(Some(scoped))
    }

    fn flag_letter(&mut self, start: usize) -> Result<char, PatternError> {
        match self.tokens.next() {
            Some(Token::Plain(letter)) => Ok(letter),
            _ => Err(PatternError::syntax("flags without end", start)),
        }
    }

    /// After a backslash and a character, outside of a set.
    fn escape(&mut self, character: char, flags: Flags, start: usize) -> Result<Node, PatternError> {
        let anchor = match character {
            'A' => Anchor::TextStart,
            'Z' => Anchor::TextEnd,
            'b' => Anchor::Boundary { ascii: flags.ascii },
            'B' => Anchor::NotBoundary { ascii: flags.ascii },
            '1'..='9' => return self.octal_or_reference(character, flags, start),
            '0' => {
                let digits = self.tokens.digits(2, 8);
                return Ok(Node::Character(code(&digits, 8).unwrap_or('\0'), flags));
            }
            _ => {
                return Ok(match self.escaped_item(character, start)? {
                    Item::Range(first, _) => Node::Character(first, flags),
                    item @ Item::Category { .. } => Node::Set(Set { items: vec![item], negated: false, flags }),
                });
            }
        };
        Ok(Node::Anchor(anchor))
    }

    /// `\1`, `\12` (references) or `\123` (a character, when all three digits are octal).
    fn octal_or_reference(&mut self, first: char, flags: Flags, start: usize) -> Result<Node, PatternError> {
        let mut number = String::from(first);
        number.push_str(&self.tokens.digits(1, 10));
        let octal = number.len() == 2 && number.chars().all(|digit| digit.is_digit(8));
        if octal && matches!(self.tokens.peek(), Some(Token::Plain('0'..='7'))) {
            number.push_str(&self.tokens.digits(1, 8));
            return octal_character(&number, start).map(|character| Node::Character(character, flags));
        }
        self.reference(number.parse().unwrap_or(usize::MAX), start)
    }

    /// Escapes that mean the same inside and outside of a set, except digits and anchors.
    fn escaped_item(&mut self, character: char, start: usize) -> Result<Item, PatternError> {
        let category = |category, negated| Ok(Item::Category { category, negated });
        let one = match character {
            'd' => return category(Category::Digit, false),
            'D' => return category(Category::Digit, true),
            's' => return category(Category::Space, false),
            'S' => return category(Category::Space, true),
            'w' => return category(Category::Word, false),
            'W' => return category(Category::Word, true),
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => self.hex(2, start)?,
            'u' => self.hex(4, start)?,
            'U' => self.hex(8, start)?,
            'N' => {
                if !self.tokens.take('{') {
                    return Err(PatternError::syntax("a missing `{` after `\\N`", start));
                }
                self.tokens.until('}')?;
                self.refuse("a character by its name, `\\N{…}`", start);
                '\0'
            }
            letter if letter.is_ascii_alphanumeric() => {
                return Err(PatternError::syntax(format!("the unknown escape `\\{letter}`"), start));
            }
            other => other,
        };
        Ok(Item::Range(one, one))
    }

    fn hex(&mut self, digits: usize, start: usize) -> Result<char, PatternError> {
        let read = self.tokens.digits(digits, 16);
        if read.len() != digits {
            return Err(PatternError::syntax("an escape with too few digits", start));
        }
        match u32::from_str_radix(&read, 16) {
            Ok(0xd800..=0xdfff) => {
                self.refuse("a surrogate", start);
                Ok('\0')
            }
            Ok(number) => char::from_u32(number).ok_or_else(|| PatternError::syntax("an escape beyond Unicode", start)),
            Err(_) => Err(PatternError::syntax("an escape with too few digits", start)),
        }
    }

    /// After the bracket.
    fn set(&mut self, flags: Flags, start: usize) -> Result<Node, PatternError> {
        let negated = self.tokens.take('^');
        let mut items = Vec::new();
        loop {
            // A bracket that comes first is a member.
            if !items.is_empty() && self.tokens.take(']') {
                break;
            }
            let first = self.member(start)?;
            if !self.tokens.take('-') {
                items.push(first);
                continue;
            }
            if self.tokens.take(']') {
                items.extend([first, Item::Range('-', '-')]);
                break;
            }
            match (first, self.member(start)?) {
                (Item::Range(low, _), Item::Range(high, _)) if low <= high => items.push(Item::Range(low, high)),
                _ => return Err(PatternError::syntax("a range in a set that is not one", start)),
            }
        }
        Ok(Node::Set(Set { items, negated, flags }))
    }

    fn member(&mut self, start: usize) -> Result<Item, PatternError> {
        let position = self.tokens.position();
        match self.tokens.next() {
            None => Err(PatternError::syntax("a set without end", start)),
            Some(Token::Plain(character)) => Ok(Item::Range(character, character)),
            Some(Token::Escaped('b')) => Ok(Item::Range('\u{8}', '\u{8}')),
            Some(Token::Escaped(digit @ '0'..='7')) => {
                let number = format!("{digit}{}", self.tokens.digits(2, 8));
                octal_character(&number, position).map(|character| Item::Range(character, character))
            }
            Some(Token::Escaped(character)) => self.escaped_item(character, position),
        }
    }
}

fn code(digits: &str, base: u32) -> Option<char> {
    u32::from_str_radix(digits, base).ok().and_then(char::from_u32)
}

fn octal_character(digits: &str, position: usize) -> Result<char, PatternError> {
    code(digits, 8)
        .filter(|character| *character <= '\u{ff}')
        .ok_or_else(|| PatternError::syntax("an octal escape above `\\377`", position))
}

fn is_identifier(name: &str) -> bool {
    name.chars().all(|character| character == '_' || character.is_alphanumeric())
        && name.chars().next().is_some_and(|first| first == '_' || first.is_alphabetic())
}

/// Flags named in a group.
#[derive(Default)]
struct Letters {
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
    verbose: bool,
    ascii: bool,
    unicode: bool,
    template: bool,
}

impl Letters {
    fn take(&mut self, letter: char, start: usize) -> Result<(), PatternError> {
        match letter {
            'i' => self.ignore_case = true,
            'm' => self.multi_line = true,
            's' => self.dot_all = true,
            'x' => self.verbose = true,
            'a' => self.ascii = true,
            'u' => self.unicode = true,
            't' => self.template = true,
            _ => return Err(PatternError::syntax(format!("the unknown flag `{letter}`"), start)),
        }
        if self.ascii && self.unicode {
            return Err(PatternError::syntax("the flags `a` and `u` together", start));
        }
        Ok(())
    }

    const fn overlaps(&self, other: &Self) -> bool {
        self.ignore_case && other.ignore_case
            || self.multi_line && other.multi_line
            || self.dot_all && other.dot_all
            || self.verbose && other.verbose
    }

    const fn apply(&self, flags: &mut Flags, on: bool) {
        if self.ignore_case {
            flags.ignore_case = on;
        }
        if self.multi_line {
            flags.multi_line = on;
        }
        if self.dot_all {
            flags.dot_all = on;
        }
        if self.verbose {
            flags.verbose = on;
        }
        if self.ascii {
            flags.ascii = on;
        }
        if self.unicode && on {
            flags.ascii = false;
        }
    }
}

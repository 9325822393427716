//! Text → flat tape. One pass, no tree: a node is sixteen bytes, strings stay where they are in the text unless they
//! hold an escape.

use std::borrow::Cow;

use super::plain::plain;
use super::value::Value;

/// Deepest nesting of lists and maps that is read.
pub const MAX_DEPTH: usize = 100;

/// Above so many keys a map is checked for duplicates by sorting instead of pairwise.
const PAIRWISE_KEYS: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    True,
    False,
    Integer,
    Float,
    /// Characters are `text[start + 1..end - 1]`.
    String,
    /// Characters are `unescaped[..]`, found through `extra`.
    Escaped,
    List,
    Map,
}

/// `start..end` is the raw text of the node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) start: u32,
    pub(super) end: u32,
    /// Lists and maps: the index after their last descendant. `Escaped`: index into `escapes`.
    pub(super) extra: u32,
}

/// Why a text is not JSON that the engine takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Not JSON.
    #[error("invalid JSON at byte {at}: {what}")]
    Syntax {
        /// Offset into the text.
        at: usize,
        /// What was wrong there.
        what: &'static str,
    },
    /// A key stands twice in one map. Readers disagree on which one counts, so a rule could look at one and the tool use the other.
    #[error("duplicate key at byte {at}")]
    DuplicateKey {
        /// Offset of the map.
        at: usize,
    },
    /// A `\ud800`-like escape without its partner.
    #[error("lone surrogate at byte {at}")]
    LoneSurrogate {
        /// Offset of the escape.
        at: usize,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels at byte {at}")]
    TooDeep {
        /// Offset of the bracket.
        at: usize,
    },
    /// Longer than offsets of 32 bits reach.
    #[error("longer than 4 GiB")]
    TooLong,
}

/// A JSON text and where its values are.
#[derive(Clone, Debug)]
pub struct Tape<'t> {
    pub(super) text: Cow<'t, str>,
    pub(super) nodes: Vec<Node>,
    pub(super) escapes: Vec<(u32, u32)>,
    pub(super) unescaped: String,
}

impl<'t> Tape<'t> {
    /// Reads a whole text.
    ///
    /// # Errors
    /// See [`ReadError`]; the text is refused as a whole.
    pub fn read(text: &'t str) -> Result<Self, ReadError> {
        let (nodes, escapes, unescaped) = scan(text)?;
        Ok(Self { text: Cow::Borrowed(text), nodes, escapes, unescaped })
    }

    /// Reads a text and keeps it.
    ///
    /// # Errors
    /// As [`Tape::read`].
    pub fn read_owned(text: String) -> Result<Tape<'static>, ReadError> {
        let (nodes, escapes, unescaped) = scan(&text)?;
        Ok(Tape { text: Cow::Owned(text), nodes, escapes, unescaped })
    }

    /// The value that the text stands for.
    #[must_use]
    pub fn root(&self) -> Value<'_> {
        Value::at(self, 0)
    }

    /// The text as it came.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Makes it independent of the text it was read from.
    #[must_use]
    pub fn into_owned(self) -> Tape<'static> {
        Tape {
            text: Cow::Owned(self.text.into_owned()),
            nodes: self.nodes,
            escapes: self.escapes,
            unescaped: self.unescaped,
        }
    }

    #[inline]
    pub(super) fn node(&self, index: usize) -> Node {
        self.nodes.get(index).copied().unwrap_or(Node { kind: Kind::Null, start: 0, end: 0, extra: 0 })
    }

    #[inline]
    pub(super) fn raw(&self, node: Node) -> &str {
        self.text.get(node.start as usize..node.end as usize).unwrap_or("null")
    }

    #[inline(always)]
    pub(super) fn characters(&self, node: Node) -> &str {
        if node.kind == Kind::String { between_quotes(&self.text, node) } else { self.unescaped(node) }
    }

    #[cold]
    fn unescaped(&self, node: Node) -> &str {
        unescaped(&self.escapes, &self.unescaped, node)
    }

    /// The index after a node and all that is in it.
    #[inline]
    pub(super) fn after(&self, index: usize) -> usize {
        let node = self.node(index);
        match node.kind {
            Kind::List | Kind::Map => node.extra as usize,
            _ => index + 1,
        }
    }
}

impl PartialEq for Tape<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Makes a [`Tape`] value by value: for operands that come from YAML, where numbers exist that JSON cannot write
/// (`.inf`), and for maps made by the engine.
#[derive(Debug, Default)]
pub struct Builder {
    text: String,
    nodes: Vec<Node>,
    escapes: Vec<(u32, u32)>,
    unescaped: String,
    open: Vec<usize>,
}

impl Builder {
    /// An empty tape.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn scalar(&mut self, kind: Kind, raw: &str) {
        self.separate();
        let start = self.text.len() as u32;
        self.text.push_str(raw);
        self.nodes.push(Node { kind, start, end: self.text.len() as u32, extra: 0 });
    }

    fn separate(&mut self) {
        if self.open.is_empty() || self.text.ends_with(['[', '{', ':']) {
            return;
        }
        self.text.push(',');
    }

    /// `null`
    pub fn null(&mut self) {
        self.scalar(Kind::Null, "null");
    }

    /// `true` or `false`
    pub fn bool(&mut self, value: bool) {
        if value { self.scalar(Kind::True, "true") } else { self.scalar(Kind::False, "false") }
    }

    /// A decimal integer of any size, without leading zeros or `+`.
    pub fn integer(&mut self, decimal: &str) {
        self.scalar(Kind::Integer, decimal);
    }

    /// A float. JSON has no text for infinities and NaN: the first are written as numbers too large to hold, the
    /// second as a word that no reader takes.
    pub fn float(&mut self, value: f64) {
        let text = match value {
            f64::INFINITY => "1e999".to_owned(),
            f64::NEG_INFINITY => "-1e999".to_owned(),
            finite => format!("{finite:?}"),
        };
        self.scalar(Kind::Float, &text);
    }

    /// A string.
    pub fn string(&mut self, value: &str) {
        self.separate();
        let start = self.text.len() as u32;
        super::write::string(&mut self.text, value);
        let end = self.text.len() as u32;
        if (end - start) as usize == value.len() + 2 {
            self.nodes.push(Node { kind: Kind::String, start, end, extra: 0 });
            return;
        }
        let from = self.unescaped.len() as u32;
        self.unescaped.push_str(value);
        self.escapes.push((from, self.unescaped.len() as u32));
        self.nodes.push(Node { kind: Kind::Escaped, start, end, extra: self.escapes.len() as u32 - 1 });
    }

    /// A map key; its value must follow.
    pub fn key(&mut self, key: &str) {
        self.string(key);
        self.text.push(':');
    }

    /// Opens a list; close it with [`Builder::end`].
    pub fn list(&mut self) {
        self.container(Kind::List, "[");
    }

    /// Opens a map; close it with [`Builder::end`].
    pub fn map(&mut self) {
        self.container(Kind::Map, "{");
    }

    fn container(&mut self, kind: Kind, bracket: &str) {
        self.scalar(kind, bracket);
        self.open.push(self.nodes.len() - 1);
    }

    /// Closes the innermost list or map.
    pub fn end(&mut self) {
        let Some(index) = self.open.pop() else { return };
        let after = self.nodes.len() as u32;
        if let Some(node) = self.nodes.get_mut(index) {
            self.text.push(if node.kind == Kind::Map { '}' } else { ']' });
            node.end = self.text.len() as u32;
            node.extra = after;
        }
    }

    /// Copies a value with everything in it.
    pub fn value(&mut self, value: Value<'_>) {
        match value {
            Value::Null => self.null(),
            Value::Bool(flag) => self.bool(flag),
            Value::Number(super::Number::Int(int)) => self.integer(&int.to_string()),
            Value::Number(super::Number::Big(text)) => self.integer(text),
            Value::Number(super::Number::Float(float)) => self.float(float),
            Value::String(text) => self.string(text),
            Value::List(list) => {
                self.list();
                list.iter().for_each(|item| self.value(item));
                self.end();
            }
            Value::Map(map) => {
                self.map();
                for (key, item) in map.iter() {
                    self.key(key);
                    self.value(item);
                }
                self.end();
            }
        }
    }

    /// The finished tape; `null` when nothing was put in.
    #[must_use]
    pub fn finish(mut self) -> Tape<'static> {
        while !self.open.is_empty() {
            self.end();
        }
        if self.nodes.is_empty() {
            self.null();
        }
        Tape { text: Cow::Owned(self.text), nodes: self.nodes, escapes: self.escapes, unescaped: self.unescaped }
    }
}

type Scanned = (Vec<Node>, Vec<(u32, u32)>, String);

fn scan(text: &str) -> Result<Scanned, ReadError> {
    if u32::try_from(text.len()).is_err() {
        return Err(ReadError::TooLong);
    }
    let mut scanner = Scanner {
        text,
        bytes: text.as_bytes(),
        nodes: Vec::with_capacity(16 + text.len() / 16),
        escapes: Vec::new(),
        unescaped: String::new(),
    };
    scanner.document()?;
    Ok((scanner.nodes, scanner.escapes, scanner.unescaped))
}

/// Where it is in the text is a value that its methods take and give back, and not a member: it then stays in a register.
struct Scanner<'t> {
    text: &'t str,
    bytes: &'t [u8],
    nodes: Vec<Node>,
    escapes: Vec<(u32, u32)>,
    unescaped: String,
}

/// Room for unescaped strings before it has to grow.
const UNESCAPED: usize = 512;

/// No list or map is open.
const OUTSIDE: u32 = u32::MAX;

const fn syntax(at: usize, what: &'static str) -> ReadError {
    ReadError::Syntax { at, what }
}

impl Scanner<'_> {
    /// A loop instead of recursion, so that depth costs no stack. What is open needs no memory of its own: an open list or
    /// map keeps the one around it in `extra`.
    fn document(&mut self) -> Result<(), ReadError> {
        let (mut inner, mut map, mut depth) = (OUTSIDE, false, 0);
        let mut at = self.space(0);
        loop {
            at = match self.peek(at) {
                Some(b'"') => self.string(at)?,
                Some(bracket @ (b'{' | b'[')) => {
                    if depth >= MAX_DEPTH {
                        return Err(ReadError::TooDeep { at });
                    }
                    depth += 1;
                    map = bracket == b'{';
                    let kind = if map { Kind::Map } else { Kind::List };
                    let around = std::mem::replace(&mut inner, self.nodes.len() as u32);
                    self.nodes.push(Node { kind, start: at as u32, end: at as u32, extra: around });
                    at = self.space(at + 1);
                    if self.peek(at) != Some(if map { b'}' } else { b']' }) {
                        if map {
                            at = self.key(at)?;
                        }
                        continue;
                    }
                    at
                }
                Some(b't') => self.word(at, "true", Kind::True)?,
                Some(b'f') => self.word(at, "false", Kind::False)?,
                Some(b'n') => self.word(at, "null", Kind::Null)?,
                Some(b'-' | b'0'..=b'9') => self.number(at)?,
                Some(_) => return Err(syntax(at, "expected a value")),
                None => return Err(syntax(at, "ends too early")),
            };
            // After a value: the next one, or the end of what it is in.
            loop {
                at = self.space(at);
                if inner == OUTSIDE {
                    let whole = at == self.bytes.len();
                    return if whole { Ok(()) } else { Err(syntax(at, "text after the value")) };
                }
                match self.peek(at) {
                    Some(b',') => {
                        at = self.space(at + 1);
                        if map {
                            at = self.key(at)?;
                        }
                        break;
                    }
                    Some(bracket) if bracket == if map { b'}' } else { b']' } => {
                        at += 1;
                        inner = self.close(inner, map, at)?;
                        map = inner != OUTSIDE
                            && self.nodes.get(inner as usize).is_some_and(|node| node.kind == Kind::Map);
                        depth -= 1;
                    }
                    _ => return Err(syntax(at, "expected a comma or the end")),
                }
            }
        }
    }

    #[inline]
    fn peek(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// The next byte that is no space.
    #[inline]
    fn space(&self, mut at: usize) -> usize {
        while matches!(self.peek(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            at += 1;
        }
        at
    }

    /// A key and its colon; gives the place of the value.
    #[inline]
    fn key(&mut self, at: usize) -> Result<usize, ReadError> {
        if self.peek(at) != Some(b'"') {
            return Err(syntax(at, "expected a key"));
        }
        let at = self.string(at)?;
        let at = self.space(at);
        if self.peek(at) != Some(b':') {
            return Err(syntax(at, "expected a colon"));
        }
        Ok(self.space(at + 1))
    }

    #[inline]
    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        self.nodes.push(Node { kind, start: start as u32, end: end as u32, extra: 0 });
    }

    #[inline]
    fn word(&mut self, at: usize, word: &'static str, kind: Kind) -> Result<usize, ReadError> {
        let end = at + word.len();
        if self.bytes.get(at..end) != Some(word.as_bytes()) {
            return Err(syntax(at, "expected a value"));
        }
        self.push(kind, at, end);
        Ok(end)
    }

    fn digits(&self, start: usize) -> Result<usize, ReadError> {
        let mut at = start;
        while matches!(self.peek(at), Some(b'0'..=b'9')) {
            at += 1;
        }
        if at == start { Err(syntax(at, "expected a digit")) } else { Ok(at) }
    }

    fn number(&mut self, start: usize) -> Result<usize, ReadError> {
        let mut at = start;
        let mut kind = Kind::Integer;
        if self.peek(at) == Some(b'-') {
            at += 1;
        }
        at = if self.peek(at) == Some(b'0') { at + 1 } else { self.digits(at)? };
        if self.peek(at) == Some(b'.') {
            kind = Kind::Float;
            at = self.digits(at + 1)?;
        }
        if matches!(self.peek(at), Some(b'e' | b'E')) {
            kind = Kind::Float;
            at += 1;
            if matches!(self.peek(at), Some(b'+' | b'-')) {
                at += 1;
            }
            at = self.digits(at)?;
        }
        self.push(kind, start, at);
        Ok(at)
    }

    /// A string from its quote on; gives the place behind it.
    #[inline]
    fn string(&mut self, start: usize) -> Result<usize, ReadError> {
        let from = start + 1;
        let at = from + plain(self.bytes.get(from..).unwrap_or_default());
        if self.peek(at) == Some(b'"') {
            self.push(Kind::String, start, at + 1);
            return Ok(at + 1);
        }
        self.escaped_string(start, at)
    }

    /// A string with an escape, or without an end, whose characters before `at` are plain.
    #[cold]
    fn escaped_string(&mut self, start: usize, mut at: usize) -> Result<usize, ReadError> {
        let mut plain_from = start + 1;
        let unescaped_from = self.unescaped.len();
        if self.unescaped.capacity() == 0 {
            self.unescaped.reserve((self.text.len() - start).min(UNESCAPED));
        }
        loop {
            match self.peek(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    self.copy(plain_from, at);
                    at = self.escape(at)?;
                    plain_from = at;
                }
                Some(0..=0x1f) => return Err(syntax(at, "control character in a string")),
                Some(_) => at += plain(self.bytes.get(at..).unwrap_or_default()),
                None => return Err(syntax(at, "string without end")),
            }
        }
        self.copy(plain_from, at);
        self.escapes.push((unescaped_from as u32, self.unescaped.len() as u32));
        let extra = self.escapes.len() as u32 - 1;
        self.nodes.push(Node { kind: Kind::Escaped, start: start as u32, end: at as u32 + 1, extra });
        Ok(at + 1)
    }

    fn copy(&mut self, from: usize, to: usize) {
        if let Some(run) = self.text.get(from..to) {
            self.unescaped.push_str(run);
        }
    }

    /// An escape from its backslash on; gives the place behind it.
    fn escape(&mut self, backslash: usize) -> Result<usize, ReadError> {
        let at = backslash + 1;
        let character = match self.peek(at) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.code_point(backslash),
            _ => return Err(syntax(at, "unknown escape")),
        };
        self.unescaped.push(character);
        Ok(at + 1)
    }

    /// `\uXXXX`, twice for what is not in the basic plane.
    fn code_point(&mut self, backslash: usize) -> Result<usize, ReadError> {
        let mut at = backslash + 6;
        let mut code = self.hex4(backslash + 2)?;
        if (0xd800..=0xdbff).contains(&code) {
            if self.bytes.get(at..at + 2) != Some(b"\\u") {
                return Err(ReadError::LoneSurrogate { at: backslash });
            }
            let second = self.hex4(at + 2)?;
            if !(0xdc00..=0xdfff).contains(&second) {
                return Err(ReadError::LoneSurrogate { at: backslash });
            }
            code = 0x10000 + ((code - 0xd800) << 10) + (second - 0xdc00);
            at += 6;
        }
        self.unescaped.push(char::from_u32(code).ok_or(ReadError::LoneSurrogate { at: backslash })?);
        Ok(at)
    }

    fn hex4(&self, at: usize) -> Result<u32, ReadError> {
        let mut code = 0;
        for at in at..at + 4 {
            let digit = self.peek(at).and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| syntax(at, "expected four hex digits"))?;
        }
        Ok(code)
    }

    /// Ends a list or map before `at`, and gives the one around it.
    fn close(&mut self, index: u32, map: bool, at: usize) -> Result<u32, ReadError> {
        let after = self.nodes.len() as u32;
        let Some(node) = self.nodes.get_mut(index as usize) else { return Ok(OUTSIDE) };
        node.end = at as u32;
        let around = std::mem::replace(&mut node.extra, after);
        // Most maps of a call have one or two keys.
        if map && after > index + 3 {
            self.refuse_duplicates(index as usize)?;
        }
        Ok(around)
    }

    fn refuse_duplicates(&self, index: usize) -> Result<(), ReadError> {
        let mut keys = std::iter::successors(Some(index + 1), |key| Some(self.after(key + 1)))
            .take_while(|key| *key < self.nodes.len())
            .map(|key| self.characters(key));
        // Most maps have few keys, and need no allocation; and keys that differ mostly differ in length or at an end.
        let mut few = [""; PAIRWISE_KEYS];
        let mut seen = 0_u64;
        let mut count = 0;
        let mut duplicate = false;
        for (place, key) in (&mut keys).take(PAIRWISE_KEYS).enumerate() {
            let mark = 1 << (fingerprint(key.as_bytes()) % 64);
            if seen & mark != 0 {
                duplicate |= few.get(..place).is_some_and(|before| before.contains(&key));
            }
            seen |= mark;
            few.get_mut(place).into_iter().for_each(|own| *own = key);
            count = place + 1;
        }
        if let Some(further) = keys.next() {
            let few = few.get(..count).unwrap_or_default();
            let mut all: Vec<&str> = few.iter().copied().chain([further]).chain(keys).collect();
            all.sort_unstable();
            duplicate |= all.windows(2).any(|pair| pair.first() == pair.last());
        }
        if duplicate {
            let at = self.nodes.get(index).map_or(0, |node| node.start as usize);
            return Err(ReadError::DuplicateKey { at });
        }
        Ok(())
    }

    #[inline(always)]
    fn characters(&self, index: usize) -> &str {
        match self.nodes.get(index) {
            Some(node) if node.kind == Kind::String => between_quotes(self.text, *node),
            Some(node) => unescaped(&self.escapes, &self.unescaped, *node),
            None => "",
        }
    }

    #[inline]
    fn after(&self, index: usize) -> usize {
        match self.nodes.get(index) {
            Some(node) if matches!(node.kind, Kind::List | Kind::Map) => node.extra as usize,
            _ => index + 1,
        }
    }
}

/// The characters of a [`Kind::String`].
#[inline(always)]
fn between_quotes(text: &str, node: Node) -> &str {
    text.get(node.start as usize + 1..(node.end as usize).wrapping_sub(1)).unwrap_or("")
}

/// The characters of a [`Kind::Escaped`]; nothing for what is no string.
#[cold]
fn unescaped<'t>(escapes: &[(u32, u32)], unescaped: &'t str, node: Node) -> &'t str {
    let place = (node.kind == Kind::Escaped).then_some(node.extra as usize);
    let (start, end) = place.and_then(|place| escapes.get(place)).copied().unwrap_or((0, 0));
    unescaped.get(start as usize..end as usize).unwrap_or("")
}

/// A number that is the same for equal keys, and mostly another one for others.
#[inline]
pub(crate) fn fingerprint(key: &[u8]) -> u32 {
    let byte = |byte: Option<&u8>| u32::from(byte.copied().unwrap_or_default());
    (key.len() as u32).wrapping_mul(13) ^ byte(key.first()) ^ byte(key.last()).wrapping_mul(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_numbers_and_texts_as_they_came() {
        let text = r#"{"a":1.0,"b":[12345678901234567890,{"c":"x\u00e9\n\ud83d\ude00"}],"d":1e400,"é":null}"#;
        let tape = Tape::read(text).unwrap();
        let Value::Map(map) = tape.root() else { panic!("a map") };
        assert_eq!(map.raw("a"), Some("1.0"));
        assert_eq!(map.raw("b"), Some(r#"[12345678901234567890,{"c":"x\u00e9\n\ud83d\ude00"}]"#));
        assert_eq!(map.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["a", "b", "d", "é"]);
        let Some(Value::List(list)) = map.get("b") else { panic!("a list") };
        let Some(Value::Map(inner)) = list.iter().nth(1) else { panic!("a map") };
        assert_eq!(inner.get("c").and_then(Value::as_str), Some("xé\n😀"));
    }

    #[test]
    fn refuses_what_readers_disagree_on() {
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            "[1,]",
            "{\"a\" 1}",
            "01",
            "1.",
            "+1",
            "NaN",
            "\"\u{1}\"",
            "",
            "[",
            "1 2",
            "{\"a\":}",
            "[1}",
            "nul",
        ] {
            assert!(Tape::read(text).is_err(), "{text}");
        }
        let deep = format!("{}{}", "[".repeat(101), "]".repeat(101));
        assert_eq!(Tape::read(&deep).unwrap_err(), ReadError::TooDeep { at: 100 });
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(Tape::read(&deep).is_ok());
    }

    #[test]
    fn finds_duplicates_among_many_keys() {
        let keys: Vec<String> = (0..50).map(|key| format!("\"k{key}\":0")).collect();
        assert!(Tape::read(&format!("{{{}}}", keys.join(","))).is_ok());
        assert!(Tape::read(&format!("{{{},\"k7\":1}}", keys.join(","))).is_err());
    }

    #[test]
    fn builder_writes_what_it_holds() {
        let mut builder = Builder::new();
        builder.map();
        builder.key("a\"b");
        builder.list();
        builder.null();
        builder.float(1.0);
        builder.string("x\ny");
        builder.end();
        builder.key("c");
        builder.integer("99999999999999999999");
        builder.end();
        let tape = builder.finish();
        assert_eq!(tape.text(), "{\"a\\\"b\":[null,1.0,\"x\\ny\"],\"c\":99999999999999999999}");
        let again = Tape::read(tape.text()).unwrap();
        assert_eq!(again.root(), tape.root());
    }
}

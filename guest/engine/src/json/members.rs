//! Cuts an object or a list into the raw texts of its values. Unlike [`crate::json::Tape`] it does not judge what is inside
//! them: a value may be nested to any depth, repeat keys or hold lone surrogates. It must be JSON, though, or else the
//! text around it would not be what it seems.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::json::{ReadError, Tape};

/// The members of an object in order: decoded names, raw values.
pub type Members<'t> = Vec<(Cow<'t, str>, &'t str)>;

/// Above so many members duplicates are found by sorting instead of pairwise.
const PAIRWISE: usize = 8;

/// Cuts an object.
///
/// # Errors
/// Not a JSON object, or a name twice: readers disagree on which one counts.
pub fn members(text: &str) -> Result<Members<'_>, ReadError> {
    let mut scanner = Scanner { text, at: 0 };
    let mut members: Members<'_> = Vec::with_capacity(4);
    scanner.space();
    scanner.expect(b'{', "expected an object")?;
    scanner.space();
    if scanner.peek() == Some(b'}') {
        scanner.at += 1;
        return scanner.end(members);
    }
    loop {
        let at = scanner.at;
        let name = string(scanner.key()?).ok_or(ReadError::LoneSurrogate { at })?;
        members.push((name, scanner.value()?));
        scanner.space();
        if scanner.peek() == Some(b'}') {
            scanner.at += 1;
            refuse_duplicates(&members)?;
            return scanner.end(members);
        }
        scanner.expect(b',', "expected a comma or the end")?;
        scanner.space();
    }
}

/// The raw texts of the members with these names that are strings, whatever the others are: where a name is there twice
/// the last one counts. None when it is no JSON object.
#[must_use]
pub fn strings<'t, 'n>(text: &'t str, names: &[&'n str]) -> BTreeMap<&'n str, &'t str> {
    let mut found = BTreeMap::new();
    let mut scanner = Scanner { text, at: 0 };
    let mut read = || {
        scanner.space();
        scanner.expect(b'{', "expected an object")?;
        loop {
            scanner.space();
            let (name, raw) = (string(scanner.key()?), scanner.value()?);
            if let Some(name) = names.iter().find(|known| name.as_deref() == Some(**known)) {
                match string(raw) {
                    Some(_) => found.insert(*name, raw),
                    None => found.remove(name),
                };
            }
            scanner.space();
            if scanner.peek() == Some(b'}') {
                return Ok::<_, ReadError>(());
            }
            scanner.expect(b',', "expected a comma or the end")?;
        }
    };
    if read().is_ok() { found } else { BTreeMap::new() }
}

/// Cuts a list.
///
/// # Errors
/// Not a JSON list.
pub fn items(text: &str) -> Result<Vec<&str>, ReadError> {
    let mut scanner = Scanner { text, at: 0 };
    let mut items = Vec::new();
    scanner.space();
    scanner.expect(b'[', "expected a list")?;
    scanner.space();
    if scanner.peek() == Some(b']') {
        scanner.at += 1;
        return scanner.end(items);
    }
    loop {
        items.push(scanner.value()?);
        scanner.space();
        if scanner.peek() == Some(b']') {
            scanner.at += 1;
            return scanner.end(items);
        }
        scanner.expect(b',', "expected a comma or the end")?;
        scanner.space();
    }
}

/// The characters of a string given as raw text; none when it is not a string, or holds a lone surrogate.
pub fn string(raw: &str) -> Option<Cow<'_, str>> {
    let characters = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !characters.contains('\\') {
        return Some(Cow::Borrowed(characters));
    }
    Some(Cow::Owned(Tape::read(raw).ok()?.root().as_str()?.to_owned()))
}

fn refuse_duplicates(members: &Members<'_>) -> Result<(), ReadError> {
    let duplicate = if members.len() <= PAIRWISE {
        members.iter().enumerate().any(|(place, (one, _))| members.iter().skip(place + 1).any(|(two, _)| one == two))
    } else {
        let mut names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair.first() == pair.last())
    };
    if duplicate { Err(ReadError::DuplicateKey { at: 0 }) } else { Ok(()) }
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn syntax<T>(&self, what: &'static str) -> Result<T, ReadError> {
        Err(ReadError::Syntax { at: self.at, what })
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), ReadError> {
        if self.peek() != Some(byte) {
            return self.syntax(what);
        }
        self.at += 1;
        Ok(())
    }

    /// Nothing but space may follow.
    fn end<T>(mut self, done: T) -> Result<T, ReadError> {
        self.space();
        if self.at < self.text.len() { self.syntax("text after the value") } else { Ok(done) }
    }

    /// A string, a colon, and the space around it; the raw string.
    fn key(&mut self) -> Result<&'t str, ReadError> {
        let start = self.at;
        self.string()?;
        let key = self.since(start);
        self.space();
        self.expect(b':', "expected a colon")?;
        self.space();
        Ok(key)
    }

    fn since(&self, start: usize) -> &'t str {
        self.text.get(start..self.at).unwrap_or("")
    }

    /// One value of any depth. A loop instead of recursion: depth costs a byte and no stack.
    fn value(&mut self) -> Result<&'t str, ReadError> {
        let start = self.at;
        // The brackets that will close what is open.
        let mut open: Vec<u8> = Vec::new();
        loop {
            match self.peek() {
                Some(b'"') => self.string()?,
                Some(bracket @ (b'{' | b'[')) => {
                    let close = if bracket == b'{' { b'}' } else { b']' };
                    self.at += 1;
                    self.space();
                    if self.peek() == Some(close) {
                        self.at += 1;
                    } else {
                        open.push(close);
                        if close == b'}' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'n') => self.word("null")?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(_) => return self.syntax("expected a value"),
                None => return self.syntax("ends too early"),
            }
            // After a value: what ends here, and whether another one follows.
            loop {
                let Some(&close) = open.last() else { return Ok(self.since(start)) };
                self.space();
                if self.peek() == Some(close) {
                    self.at += 1;
                    open.pop();
                    continue;
                }
                self.expect(b',', "expected a comma or the end")?;
                self.space();
                if close == b'}' {
                    self.key()?;
                }
                break;
            }
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), ReadError> {
        if !self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return self.syntax("expected a value");
        }
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> Result<(), ReadError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { self.syntax("expected a digit") } else { Ok(()) }
    }

    fn number(&mut self) -> Result<(), ReadError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), ReadError> {
        self.expect(b'"', "expected a string")?;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let Some(plain) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) else {
                self.at = self.text.len();
                return self.syntax("string without end");
            };
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                _ => return self.syntax("control character in a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), ReadError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return self.syntax("expected four hex digits");
                    }
                    self.at += 1;
                }
            }
            _ => return self.syntax("unknown escape"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_keep_their_texts() {
        let text = "\n{ \"a\" : 1.0 ,\"b\\u0063\":[1e400, {\"x\":\"}]\\\"\"}],\"d\":12345678901234567890,\"\":null }\t";
        let members = members(text).unwrap();
        let expected = [("a", "1.0"), ("bc", r#"[1e400, {"x":"}]\""}]"#), ("d", "12345678901234567890"), ("", "null")];
        assert_eq!(members.iter().map(|(name, raw)| (&**name, *raw)).collect::<Vec<_>>(), expected);
        assert_eq!(items(" [ 1 , [2,3],\"]\" , {} ] ").unwrap(), ["1", "[2,3]", "\"]\"", "{}"]);
        assert_eq!(items("[]").unwrap(), Vec::<&str>::new());
        assert_eq!(super::members("{}").unwrap(), Vec::new());
    }

    #[test]
    fn what_only_the_engine_may_judge_gets_through() {
        for value in [r#"{"k":1,"k":2}"#, r#""\ud800""#, &format!("{}{}", "[".repeat(5_000), "]".repeat(5_000))] {
            let text = format!(r#"{{"call":{value}}}"#);
            assert_eq!(members(&text).unwrap(), [(Cow::Borrowed("call"), value)]);
        }
    }

    #[test]
    fn a_text_that_would_smuggle_members_in_is_refused() {
        for text in [
            r#"{"call":{"tool":"x"}},"now":1}"#,
            r#"{"now":1,"now":2}"#,
            r#"{"now":1,"\u006eow":2}"#,
            r#"{"\ud800":1}"#,
            r#"{"a":1}{"b":2}"#,
            r#"{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"a":0}"#,
            r#"{"a":[1}]}"#,
            r#"{"a":{"b"]}}"#,
            r#"{"a":{,}}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":tru}"#,
            r#"{"a":truer}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":+1}"#,
            r#"{"a":"\x41"}"#,
            r#"{"a":"\u00g0"}"#,
            "{\"a\":\"\n\"}",
            r#"{"a":"#,
            r#"{"a":"x"#,
            r#"{"a"}"#,
            r#"{a:1}"#,
            r#"{"a":1,}"#,
            r#"[1]"#,
            "",
            "{",
        ] {
            assert!(members(text).is_err(), "{text}");
        }
        for text in ["{}", "[1,]", "[1", "[1]]", "[,]", "1", ""] {
            assert!(items(text).is_err(), "{text}");
        }
    }

    /// Texts that are often JSON and often just not.
    fn nearly_json() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"\\n\"",
            "\"\\u00e9\"",
            "1",
            "-0.5e+3",
            "0",
            "true",
            "false",
            "null",
            " ",
            "01",
            "\"",
            "\\",
            "1.",
            "é",
            "\"b\":",
            "\"a\":1",
            "[1,2]",
            "{\"x\":[]}",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// Two readers of one text must agree on what is JSON, or a request could mean two things.
        #[test]
        fn agrees_with_the_tape_on_what_is_json(text in nearly_json()) {
            let list = format!("[{text}]");
            let tape = Tape::read(&list);
            match (items(&list), &tape) {
                (Ok(items), Ok(tape)) => {
                    let expected = tape.root().as_list().map(|list| list.iter().count());
                    prop_assert_eq!(Some(items.len()), expected);
                }
                // Judged by the tape only.
                (Ok(_), Err(error)) => prop_assert!(
                    matches!(error, ReadError::DuplicateKey { .. } | ReadError::LoneSurrogate { .. } | ReadError::TooDeep { .. }),
                    "{error}"
                ),
                (Err(error), tape) => prop_assert!(tape.is_err(), "{error}"),
            }
            let object = format!("{{{text}}}");
            match (members(&object), Tape::read(&object)) {
                (Ok(members), Ok(tape)) => {
                    let map = tape.root().as_map().unwrap();
                    let expected: Vec<_> = map.raw_entries().map(|(name, raw)| (Cow::Borrowed(name), raw)).collect();
                    prop_assert_eq!(members, expected);
                }
                (Ok(_), Err(error)) => prop_assert!(!matches!(error, ReadError::Syntax { .. }), "{error}"),
                (Err(error), tape) => prop_assert!(tape.is_err(), "{error}"),
            }
        }

        #[test]
        fn never_panics(text in ".{0,60}") {
            let _ = (members(&text), items(&text));
        }
    }
}

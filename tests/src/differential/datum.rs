//! JSON values with exact numbers: `1`, `1.0` and `12345678901234567890` stay what they are. What cases, answers and
//! rulesets are made of here. Not the engine's reader: a fault there must not blind the test.

use std::fmt::{self, Display, Write as _};

/// A JSON value.
#[derive(Clone, Debug, Default)]
pub enum Datum {
    /// `null`
    #[default]
    Null,
    /// `true`, `false`
    Bool(bool),
    /// The text of an integer of any size.
    Int(String),
    /// The text of a float; `Infinity`, `-Infinity` and `NaN` as Python writes them.
    Float(String),
    /// A string.
    String(String),
    /// A list.
    List(Vec<Datum>),
    /// A map in its own order. A text with the same key twice makes a map with the same key twice; the first one counts.
    Map(Vec<(String, Datum)>),
}

/// Equality of answers: maps in any order; floats by value, and NaN equals itself; `1` is not `1.0` and not `true`.
impl PartialEq for Datum {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(two)) => one == two,
            (Self::Int(one), Self::Int(two)) | (Self::String(one), Self::String(two)) => one == two,
            (Self::Float(one), Self::Float(two)) => {
                let (one, two) = (float(one), float(two));
                one == two || (one.is_nan() && two.is_nan())
            }
            (Self::List(one), Self::List(two)) => one == two,
            (Self::Map(one), Self::Map(two)) => {
                one.len() == two.len() && one.iter().all(|(key, value)| other.get(key) == Some(value))
            }
            _ => false,
        }
    }
}

fn float(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

impl Datum {
    /// Reads a JSON text; also Python's `NaN` and `Infinity`. A lone surrogate becomes U+FFFD.
    ///
    /// # Errors
    /// Where it is not JSON.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.space();
        if reader.at == text.len() { Ok(value) } else { Err(reader.expected("the end")) }
    }

    /// A map.
    pub fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Self)>) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// A list.
    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Self::List(items.into_iter().collect())
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The value of a key that is there and not null.
    #[must_use]
    pub fn some(&self, key: &str) -> Option<&Self> {
        self.get(key).filter(|value| !matches!(value, Self::Null))
    }

    /// The value at the end of a path of keys.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match self {
            Self::Map(entries) => entries.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Sets a key of a map; of anything else it makes a map first.
    pub fn set(&mut self, key: &str, value: impl Into<Self>) {
        if !matches!(self, Self::Map(_)) {
            *self = Self::Map(Vec::new());
        }
        if let Self::Map(entries) = self {
            match entries.iter_mut().find(|(name, _)| name == key) {
                Some((_, there)) => *there = value.into(),
                None => entries.push((key.to_owned(), value.into())),
            }
        }
    }

    /// The map with a key more.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Self>) -> Self {
        self.set(key, value);
        self
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Self> {
        match self {
            Self::Map(entries) => {
                let index = entries.iter().position(|(name, _)| name == key)?;
                Some(entries.remove(index).1)
            }
            _ => None,
        }
    }

    /// Keys and values; of anything but a map none.
    #[must_use]
    pub fn entries(&self) -> &[(String, Self)] {
        if let Self::Map(entries) = self { entries } else { &[] }
    }

    /// Items; of anything but a list none.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        if let Self::List(items) = self { items } else { &[] }
    }

    /// Items, to be changed.
    pub fn items_mut(&mut self) -> &mut [Self] {
        if let Self::List(items) = self { items } else { &mut [] }
    }

    /// The string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The string of a key; empty when there is none.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        self.get(key).and_then(Self::as_str).unwrap_or("")
    }

    /// The flag of a key; false when there is none.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Self::Bool(true)))
    }

    /// An integer that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Int(text) = self { text.parse().ok() } else { None }
    }

    /// The list of a key; empty when there is none.
    #[must_use]
    pub fn list_of(&self, key: &str) -> &[Self] {
        self.get(key).map_or(&[], Self::items)
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Goes through all strings in it, keys not included.
    pub fn each_string(&mut self, change: &mut impl FnMut(&mut String)) {
        match self {
            Self::String(text) => change(text),
            Self::List(items) => items.iter_mut().for_each(|item| item.each_string(change)),
            Self::Map(entries) => entries.iter_mut().for_each(|(_, value)| value.each_string(change)),
            _ => {}
        }
    }
}

impl From<&str> for Datum {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Datum {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Datum {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<i64> for Datum {
    fn from(number: i64) -> Self {
        Self::Int(number.to_string())
    }
}

impl From<Vec<Self>> for Datum {
    fn from(items: Vec<Self>) -> Self {
        Self::List(items)
    }
}

/// JSON text without spaces.
impl Display for Datum {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Bool(flag) => write!(out, "{flag}"),
            Self::Int(text) | Self::Float(text) => out.write_str(text),
            Self::String(text) => quote(out, text),
            Self::List(items) => {
                out.write_char('[')?;
                for (index, item) in items.iter().enumerate() {
                    write!(out, "{}{item}", if index == 0 { "" } else { "," })?;
                }
                out.write_char(']')
            }
            Self::Map(entries) => {
                out.write_char('{')?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    out.write_str(if index == 0 { "" } else { "," })?;
                    quote(out, key)?;
                    write!(out, ":{value}")?;
                }
                out.write_char('}')
            }
        }
    }
}

fn quote(out: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for char in text.chars() {
        match char {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            char if char < ' ' || char == '\u{7f}' => write!(out, "\\u{:04x}", u32::from(char))?,
            char => out.write_char(char)?,
        }
    }
    out.write_char('"')
}

const MAX_DEPTH: usize = 2_000;

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<u8> {
        self.rest().bytes().next()
    }

    fn expected(&self, what: &str) -> String {
        format!("expected {what} at byte {}", self.at)
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn take(&mut self, text: &str) -> bool {
        let there = self.rest().starts_with(text);
        self.at += if there { text.len() } else { 0 };
        there
    }

    fn value(&mut self, depth: usize) -> Result<Datum, String> {
        if depth > MAX_DEPTH {
            return Err(self.expected("less nesting"));
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.map(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Datum::String(self.string()?)),
            _ => self.scalar(),
        }
    }

    fn map(&mut self, depth: usize) -> Result<Datum, String> {
        self.at += 1;
        let mut entries = Vec::new();
        self.space();
        while !self.take("}") {
            if !entries.is_empty() && !self.take(",") {
                return Err(self.expected("`,` or `}`"));
            }
            self.space();
            let key = self.string()?;
            self.space();
            if !self.take(":") {
                return Err(self.expected("`:`"));
            }
            entries.push((key, self.value(depth + 1)?));
            self.space();
        }
        Ok(Datum::Map(entries))
    }

    fn list(&mut self, depth: usize) -> Result<Datum, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        while !self.take("]") {
            if !items.is_empty() && !self.take(",") {
                return Err(self.expected("`,` or `]`"));
            }
            items.push(self.value(depth + 1)?);
            self.space();
        }
        Ok(Datum::List(items))
    }

    fn scalar(&mut self) -> Result<Datum, String> {
        let rest = self.rest();
        let length = rest.find([',', '}', ']', ' ', '\n', '\r', '\t', ':']).unwrap_or(rest.len());
        let word = rest.get(..length).unwrap_or("");
        let value = match word {
            "null" => Datum::Null,
            "true" => Datum::Bool(true),
            "false" => Datum::Bool(false),
            "NaN" | "Infinity" | "-Infinity" => Datum::Float(word.to_owned()),
            _ if word.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
                if word.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) {
                    Datum::Int(word.to_owned())
                } else if word.parse::<f64>().is_ok() {
                    Datum::Float(word.to_owned())
                } else {
                    return Err(self.expected("a number"));
                }
            }
            _ => return Err(self.expected("a value")),
        };
        self.at += length;
        Ok(value)
    }

    fn string(&mut self) -> Result<String, String> {
        if !self.take("\"") {
            return Err(self.expected("a string"));
        }
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let plain = rest.find(['"', '\\']).ok_or_else(|| self.expected("the end of a string"))?;
            text.push_str(rest.get(..plain).unwrap_or(""));
            self.at += plain;
            if self.take("\"") {
                return Ok(text);
            }
            self.at += 1;
            let escape = self.peek().ok_or_else(|| self.expected("an escape"))?;
            self.at += 1;
            text.push(match escape {
                b'n' => '\n',
                b't' => '\t',
                b'r' => '\r',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'u' => self.unicode()?,
                other => char::from(other),
            });
        }
    }

    fn unicode(&mut self) -> Result<char, String> {
        let high = self.hex()?;
        if (0xd800..0xdc00).contains(&high) && self.rest().starts_with("\\u") {
            let before = self.at;
            self.at += 2;
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            self.at = before;
        }
        Ok(char::from_u32(high).unwrap_or('\u{fffd}'))
    }

    fn hex(&mut self) -> Result<u32, String> {
        let digits = self.rest().get(..4).ok_or_else(|| self.expected("four hex digits"))?;
        let code = u32::from_str_radix(digits, 16).map_err(|_| self.expected("four hex digits"))?;
        self.at += 4;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::Datum;

    #[test]
    fn numbers_and_texts_come_back_as_they_were() {
        for text in
            [r#"{"a":1,"b":[1.0,12345678901234567890,1e400,-0],"c":"\"\\\n\u0001é😀"}"#, "NaN", "-Infinity", "[]", "{}"]
        {
            assert_eq!(Datum::parse(text).map(|value| value.to_string()).as_deref(), Ok(text));
        }
        assert_eq!(Datum::parse(r#""\ud83d\ude00\ud800""#), Ok(Datum::from("😀\u{fffd}")));
    }

    #[test]
    fn equality_tells_kinds_apart_and_ignores_the_order_of_keys() {
        let parse = |text| Datum::parse(text).unwrap_or_default();
        assert_ne!(parse("1"), parse("1.0"));
        assert_ne!(parse("1"), parse("true"));
        assert_eq!(parse("1e2"), parse("100.0"));
        assert_eq!(parse("NaN"), parse("NaN"));
        assert_eq!(parse(r#"{"a":1,"b":2}"#), parse(r#"{"b":2,"a":1}"#));
        assert_ne!(parse(r#"{"a":1}"#), parse(r#"{"a":1,"b":null}"#));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "[1", "[1 2]", "{\"a\" 1}", "\"a", "nul", "1 2", "-x"] {
            assert!(Datum::parse(text).is_err(), "{text}");
        }
    }
}

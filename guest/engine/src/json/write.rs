//! Makes JSON texts: compact, UTF-8, keys in the order they are written.

use super::plain::plain;
use super::{Number, Value};

const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

/// Appends a string with quotes and escapes.
pub fn string(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    let clean = plain(text.as_bytes());
    if clean == text.len() {
        out.push_str(text);
        out.push('"');
    } else {
        escaped(out, text, clean);
    }
}

/// The rest of a string, its end quote included, whose first `clean` bytes need no escape.
#[cold]
fn escaped(out: &mut String, mut rest: &str, mut clean: usize) {
    loop {
        let (copied, special) = rest.split_at_checked(clean).unwrap_or((rest, ""));
        out.push_str(copied);
        let Some(byte) = special.bytes().next() else { break };
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => {
                out.push_str("\\u00");
                out.push(HEX.get(usize::from(control >> 4)).copied().unwrap_or('0'));
                out.push(HEX.get(usize::from(control & 15)).copied().unwrap_or('0'));
            }
        }
        rest = special.get(1..).unwrap_or_default();
        clean = plain(rest.as_bytes());
    }
    out.push('"');
}

/// Appends an integer.
fn decimal(out: &mut String, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut count = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        count += 1;
        if number == 0 {
            break;
        }
    }
    out.extend(digits.iter().skip(digits.len() - count).map(|digit| char::from(*digit)));
}

/// Appends a value. Numbers that are not on a tape of JSON text (`.inf`) become `null`.
pub fn value(out: &mut String, value: Value<'_>) {
    use std::fmt::Write as _;
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(Number::Int(int)) => {
            // Writing to a String cannot fail.
            let _ = write!(out, "{int}");
        }
        Value::Number(Number::Big(text)) => out.push_str(text),
        Value::Number(Number::Float(float)) if float.is_finite() => {
            let _ = write!(out, "{float:?}");
        }
        Value::Number(Number::Float(_)) => out.push_str("null"),
        Value::String(text) => string(out, text),
        Value::List(list) => out.push_str(list.text()),
        Value::Map(map) => out.push_str(map.text()),
    }
}

/// An object being written to a text.
///
/// ```
/// use edictum_engine::json::write::Object;
/// let mut out = String::new();
/// Object::write(&mut out, |object| {
///     object.string("tool", "Bash");
///     object.list("tags", |tags| tags.string("git"));
/// });
/// assert_eq!(out, r#"{"tool":"Bash","tags":["git"]}"#);
/// ```
#[derive(Debug)]
pub struct Object<'o> {
    out: &'o mut String,
    first: bool,
}

/// A list being written to a text.
#[derive(Debug)]
pub struct Items<'o> {
    out: &'o mut String,
    first: bool,
}

impl Object<'_> {
    /// Writes an object whose members `fill` gives.
    pub fn write(out: &mut String, fill: impl FnOnce(&mut Object<'_>)) {
        out.push('{');
        let mut object = Object { out, first: true };
        fill(&mut object);
        object.out.push('}');
    }

    /// The text, after a key was written: exactly one value must be appended.
    pub fn key(&mut self, key: &str) -> &mut String {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        string(self.out, key);
        self.out.push(':');
        self.out
    }

    /// A string member.
    pub fn string(&mut self, key: &str, text: &str) {
        string(self.key(key), text);
    }

    /// A string member, `null` when there is none.
    pub fn optional_string(&mut self, key: &str, text: Option<&str>) {
        match text {
            Some(text) => self.string(key, text),
            None => self.raw(key, "null"),
        }
    }

    /// A member that is JSON text already.
    pub fn raw(&mut self, key: &str, json: &str) {
        self.key(key).push_str(json);
    }

    /// A bool member.
    pub fn bool(&mut self, key: &str, flag: bool) {
        self.raw(key, if flag { "true" } else { "false" });
    }

    /// An integer member.
    pub fn number(&mut self, key: &str, number: u64) {
        decimal(self.key(key), number);
    }

    /// An object member.
    pub fn object(&mut self, key: &str, fill: impl FnOnce(&mut Object<'_>)) {
        Object::write(self.key(key), fill);
    }

    /// A list member.
    pub fn list(&mut self, key: &str, fill: impl FnOnce(&mut Items<'_>)) {
        Items::write(self.key(key), fill);
    }
}

impl Items<'_> {
    /// Writes a list whose items `fill` gives.
    pub fn write(out: &mut String, fill: impl FnOnce(&mut Items<'_>)) {
        out.push('[');
        let mut items = Items { out, first: true };
        fill(&mut items);
        items.out.push(']');
    }

    /// The text, before an item: exactly one value must be appended.
    pub fn item(&mut self) -> &mut String {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        self.out
    }

    /// A string.
    pub fn string(&mut self, text: &str) {
        string(self.item(), text);
    }

    /// An item that is JSON text already.
    pub fn raw(&mut self, json: &str) {
        self.item().push_str(json);
    }

    /// An object.
    pub fn object(&mut self, fill: impl FnOnce(&mut Object<'_>)) {
        Object::write(self.item(), fill);
    }
}

/// A list of strings.
#[must_use]
pub fn strings<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> String {
    let mut out = String::new();
    Items::write(&mut out, |items| texts.into_iter().for_each(|text| items.string(text.as_ref())));
    out
}

/// Appends a string with quotes, everything beyond ASCII escaped: for texts that must equal the reference's to the byte.
pub fn ascii_string(out: &mut String, text: &str) {
    use std::fmt::Write as _;
    let mut escaped = String::with_capacity(text.len() + 2);
    string(&mut escaped, text);
    for character in escaped.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
}

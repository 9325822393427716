//! Nodes → text that [`super::read`] reads back as the same nodes: block style, quotes where they are needed.

use std::fmt::Write as _;

use super::{Node, Value, scalar};

/// Longer keys are written with `?`: a simple key ends after 1024 characters.
const MAX_SIMPLE_KEY: usize = 200;

/// A document. [`Value::Invalid`] is written as null.
///
/// ```
/// use edictum_engine::yaml::{read, write};
/// let text = "id: no-rm\nwhen:\n  args.command:\n    matches: '\\brm\\b'\n";
/// assert_eq!(write(&read("x", text).0.unwrap()), text);
/// ```
#[must_use]
pub fn write(node: &Node) -> String {
    let mut out = String::new();
    match &node.value {
        Value::Mapping(entries) if !entries.is_empty() => map(entries, 0, false, &mut out),
        Value::Sequence(list) if !list.is_empty() => sequence(list, 0, false, &mut out),
        _ => {
            flat(node, &mut out);
            out.push('\n');
        }
    }
    out
}

fn indentation(columns: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', columns));
}

/// `begun`: the first line's indentation is written already.
fn map(entries: &[(Node, Node)], columns: usize, begun: bool, out: &mut String) {
    for (at, (key, value)) in entries.iter().enumerate() {
        if at > 0 || !begun {
            indentation(columns, out);
        }
        let name = key.as_str().unwrap_or("");
        if name.len() > MAX_SIMPLE_KEY {
            out.push_str("? ");
            string(name, out);
            out.push('\n');
            indentation(columns, out);
        } else {
            string(name, out);
        }
        out.push(':');
        match &value.value {
            Value::Mapping(below) if !below.is_empty() => {
                out.push('\n');
                map(below, columns + 2, false, out);
            }
            Value::Sequence(below) if !below.is_empty() => {
                out.push('\n');
                sequence(below, columns + 2, false, out);
            }
            _ => {
                out.push(' ');
                flat(value, out);
                out.push('\n');
            }
        }
    }
}

fn sequence(list: &[Node], columns: usize, begun: bool, out: &mut String) {
    for (at, item) in list.iter().enumerate() {
        if at > 0 || !begun {
            indentation(columns, out);
        }
        out.push_str("- ");
        match &item.value {
            Value::Mapping(below) if !below.is_empty() => map(below, columns + 2, true, out),
            Value::Sequence(below) if !below.is_empty() => sequence(below, columns + 2, true, out),
            _ => {
                flat(item, out);
                out.push('\n');
            }
        }
    }
}

/// A scalar or an empty collection.
fn flat(node: &Node, out: &mut String) {
    match &node.value {
        Value::Null | Value::Invalid => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Int(text) | Value::Date(text) => out.push_str(text),
        Value::Float(number) => float(*number, out),
        Value::String(text) => string(text, out),
        Value::Sequence(_) => out.push_str("[]"),
        Value::Mapping(_) => out.push_str("{}"),
    }
}

/// YAML 1.1 wants a point, and a sign in the exponent.
fn float(number: f64, out: &mut String) {
    if number.is_nan() {
        out.push_str(".nan");
    } else if number.is_infinite() {
        out.push_str(if number > 0.0 { ".inf" } else { "-.inf" });
    } else {
        let shortest = format!("{number:?}");
        match shortest.split_once('e') {
            None => out.push_str(&shortest),
            Some((mantissa, exponent)) => {
                let point = if mantissa.contains('.') { "" } else { ".0" };
                let sign = if exponent.starts_with('-') { "" } else { "+" };
                // Writing to a String cannot fail.
                let _ = write!(out, "{mantissa}{point}e{sign}{exponent}");
            }
        }
    }
}

fn string(text: &str, out: &mut String) {
    if is_plain(text) {
        out.push_str(text);
    } else if text.chars().all(is_printable) {
        let _ = write!(out, "'{}'", text.replace('\'', "''"));
    } else {
        double_quoted(text, out);
    }
}

/// Words that no reader takes for anything else.
fn is_plain(text: &str) -> bool {
    let first = text.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '_' | '/'));
    let inner = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.' | '/' | ' ');
    first
        && !text.ends_with(' ')
        && text.chars().all(inner)
        && matches!(scalar::plain(text), Ok(resolved) if matches!(resolved.value, Value::String(_)))
}

/// What may stand in single quotes on one line, the same for readers of YAML 1.1 and 1.2.
fn is_printable(character: char) -> bool {
    matches!(character,
        ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}'
        | '\u{10000}'..)
}

fn double_quoted(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if is_printable(character) => out.push(character),
            _ => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
        }
    }
    out.push('"');
}

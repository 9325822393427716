//! Writes a ruleset as YAML 1.1, in many ways that mean the same: block and flow, plain and quoted, literal blocks,
//! comments. What is written reads back as the same values, whoever reads it.

use std::fmt::Write as _;

use super::datum::Datum;
use super::random::Random;

/// The one plain way: for fixtures and shrinking.
#[must_use]
pub fn plainly(document: &Datum) -> String {
    let mut text = String::new();
    block(&mut text, document, 0, &mut Style { random: None });
    text
}

/// One of the many ways.
#[must_use]
pub fn somehow(document: &Datum, random: &mut Random) -> String {
    let mut text = String::new();
    if random.percent(10) {
        text.push_str("# a ruleset\n---\n");
    }
    block(&mut text, document, 0, &mut Style { random: Some(random) });
    if random.percent(5) {
        text.push_str("\n# the end\n\n");
    }
    text
}

struct Style<'r> {
    random: Option<&'r mut Random>,
}

impl Style<'_> {
    fn percent(&mut self, times: usize) -> bool {
        self.random.as_mut().is_some_and(|random| random.percent(times))
    }
}

fn indent(text: &mut String, depth: usize) {
    text.extend(std::iter::repeat_n("  ", depth));
}

/// A map or a list on lines of its own.
fn block(text: &mut String, value: &Datum, depth: usize, style: &mut Style<'_>) {
    match value {
        Datum::Map(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                indent(text, depth);
                entry(text, key, value, depth, style);
            }
        }
        Datum::List(items) if !items.is_empty() => {
            for item in items {
                indent(text, depth);
                match item {
                    Datum::Map(entries) if !entries.is_empty() && !style.percent(20) => {
                        for (index, (key, value)) in entries.iter().enumerate() {
                            if index == 0 {
                                text.push_str("- ");
                            } else {
                                indent(text, depth + 1);
                            }
                            entry(text, key, value, depth + 1, style);
                        }
                    }
                    item => {
                        text.push_str("- ");
                        flow(text, item, style);
                        text.push('\n');
                    }
                }
            }
        }
        value => {
            indent(text, depth);
            flow(text, value, style);
            text.push('\n');
        }
    }
}

/// `key: value`, and the value below when it has many lines.
fn entry(text: &mut String, name: &str, value: &Datum, depth: usize, style: &mut Style<'_>) {
    key(text, name, style);
    text.push(':');
    match value {
        Datum::Map(entries) if !entries.is_empty() && !style.percent(25) => {
            text.push('\n');
            block(text, value, depth + 1, style);
        }
        Datum::List(items) if !items.is_empty() && !style.percent(25) => {
            text.push('\n');
            block(text, value, depth + 1, style);
        }
        Datum::String(lines) if can_be_literal(lines) && style.percent(70) => {
            text.push_str(" |-\n");
            for line in lines.split('\n') {
                indent(text, depth + 1);
                text.push_str(line);
                text.push('\n');
            }
        }
        value => {
            text.push(' ');
            flow(text, value, style);
            if style.percent(2) {
                text.push_str("  # why");
            }
            text.push('\n');
        }
    }
}

/// A value on one line.
fn flow(text: &mut String, value: &Datum, style: &mut Style<'_>) {
    match value {
        Datum::Null => text.push_str("null"),
        Datum::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Datum::Int(number) => text.push_str(number),
        Datum::Float(number) => text.push_str(&float(number)),
        Datum::String(string) => scalar(text, string, style),
        Datum::List(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                flow(text, item, style);
            }
            text.push(']');
        }
        Datum::Map(entries) => {
            text.push('{');
            for (index, (name, value)) in entries.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                key(text, name, style);
                text.push_str(": ");
                flow(text, value, style);
            }
            text.push('}');
        }
    }
}

fn key(text: &mut String, name: &str, style: &mut Style<'_>) {
    if can_be_plain(name) { text.push_str(name) } else { scalar(text, name, style) }
}

fn scalar(text: &mut String, string: &str, style: &mut Style<'_>) {
    let printable = string.chars().all(is_plainly_printable);
    if can_be_plain(string) && !style.percent(30) {
        text.push_str(string);
    } else if printable && !style.percent(30) {
        let _ = write!(text, "'{}'", string.replace('\'', "''"));
    } else {
        double_quoted(text, string);
    }
}

fn double_quoted(text: &mut String, string: &str) {
    text.push('"');
    for char in string.chars() {
        let code = u32::from(char);
        let _ = match char {
            '"' => write!(text, "\\\""),
            '\\' => write!(text, "\\\\"),
            '\n' => write!(text, "\\n"),
            '\t' => write!(text, "\\t"),
            char if is_plainly_printable(char) => write!(text, "{char}"),
            _ if code <= 0xff => write!(text, "\\x{code:02x}"),
            _ if code <= 0xffff => write!(text, "\\u{code:04x}"),
            _ => write!(text, "\\U{code:08x}"),
        };
    }
    text.push('"');
}

/// Neither a control character nor something that a reader takes for a line break or a byte-order mark.
fn is_plainly_printable(char: char) -> bool {
    !char.is_control() && !matches!(char, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Whether no reader of YAML 1.1 or 1.2 takes it for anything but this string.
fn can_be_plain(string: &str) -> bool {
    const WORDS: &[&str] =
        &["y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "nan", "infinity", "e", "x"];
    string.starts_with(|first: char| first.is_ascii_alphabetic())
        && !string.ends_with(' ')
        && !string.contains("  ")
        // `[rm -, x]` is a list of two texts, and our reader of YAML takes it for a mistake.
        && !string.contains(" -")
        && string.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./- ".contains(&byte))
        && !WORDS.contains(&string.to_ascii_lowercase().as_str())
}

fn can_be_literal(string: &str) -> bool {
    string.contains('\n')
        && string.split('\n').all(|line| {
            line.starts_with(|first: char| first.is_ascii_alphanumeric())
                && line.chars().all(is_plainly_printable)
                && !line.ends_with(' ')
        })
}

/// YAML 1.1 wants a point in a float and a sign in its exponent.
fn float(number: &str) -> String {
    match number {
        "Infinity" => return ".inf".to_owned(),
        "-Infinity" => return "-.inf".to_owned(),
        "NaN" => return ".nan".to_owned(),
        _ => {}
    }
    let Some((mantissa, exponent)) = number.split_once(['e', 'E']) else { return number.to_owned() };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with(['+', '-']) { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

#[cfg(test)]
mod tests {
    use super::{Datum, Random, plainly, somehow};

    #[test]
    fn every_style_reads_back_as_the_same_values() {
        let document = Datum::parse(
            r#"{"a":"yes","b":["x y","- z","é: #","",{"k\n":"two\nlines"}],"args.x":{"in":[1,2.5,1e22,null,true,[],{}]}}"#,
        )
        .unwrap_or_default();
        let read =
            |text: &str| serde_yaml::from_str::<serde_json::Value>(text).map_err(|error| format!("{error}\n{text}"));
        let plain = read(&plainly(&document));
        assert!(plain.is_ok(), "{plain:?}");
        for seed in 0..500 {
            let text = somehow(&document, &mut Random::new(seed));
            assert_eq!(read(&text), plain, "{text}");
        }
    }
}

//! Values as text: the way Python writes them (messages) and the way `output.text` shows them.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::{classes, tables};
use crate::json::{Number, Value, write};

/// Appends a value as Python's `str` writes it (engine.md §9): strings raw, `True`, `None`, `1.0`, `1e+22`, lists and maps
/// as `[1, 'a', {'k': None}]`.
pub fn python(out: &mut String, value: Value<'_>) {
    python_without(out, value, usize::MAX, &|_| false);
}

/// As [`python`], but what stands under a key that `secret` names is shown as [`REDACTED`], and no more is written than
/// about so many bytes.
pub(super) fn python_without(out: &mut String, value: Value<'_>, limit: usize, secret: &dyn Fn(&str) -> bool) {
    let repr = Repr { limit: out.len().saturating_add(limit), secret };
    match value {
        Value::String(text) => out.push_str(text.get(..text.floor_char_boundary(limit)).unwrap_or_default()),
        other => repr.value(out, other),
    }
}

/// What stands where a secret stood.
pub(super) const REDACTED: &str = "[REDACTED]";

/// `output.text` of a result that is not null: a string as it is, other values as JSON with `", "` and `": "`, Unicode
/// unescaped and numbers as they came (engine.md §8.8).
#[must_use]
pub fn output(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => {
            let mut out = String::new();
            spaced(&mut out, other, None);
            Cow::Owned(out)
        }
    }
}

/// `raw` is the text that a number came in.
fn spaced(out: &mut String, value: Value<'_>, raw: Option<&str>) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if flag { "true" } else { "false" }),
        Value::Number(number) => match raw {
            Some(raw) => out.push_str(raw),
            None => python_number(out, number),
        },
        Value::String(text) => write::string(out, text),
        Value::List(list) => {
            out.push('[');
            for (place, (item, raw)) in list.iter().zip(list.raw_items()).enumerate() {
                out.push_str(if place == 0 { "" } else { ", " });
                spaced(out, item, Some(raw));
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (place, ((key, item), (_, raw))) in map.iter().zip(map.raw_entries()).enumerate() {
                out.push_str(if place == 0 { "" } else { ", " });
                write::string(out, key);
                out.push_str(": ");
                spaced(out, item, Some(raw));
            }
            out.push('}');
        }
    }
}

/// Python's `repr`, up to a length.
struct Repr<'r> {
    limit: usize,
    secret: &'r dyn Fn(&str) -> bool,
}

impl Repr<'_> {
    fn value(&self, out: &mut String, value: Value<'_>) {
        match value {
            Value::Null => out.push_str("None"),
            Value::Bool(flag) => out.push_str(if flag { "True" } else { "False" }),
            Value::Number(number) => python_number(out, number),
            Value::String(text) => self.quoted(out, text),
            Value::List(list) => {
                out.push('[');
                for (place, item) in list.iter().enumerate() {
                    if out.len() >= self.limit {
                        break;
                    }
                    out.push_str(if place == 0 { "" } else { ", " });
                    self.value(out, item);
                }
                out.push(']');
            }
            Value::Map(map) => {
                out.push('{');
                for (place, (key, item)) in map.iter().enumerate() {
                    if out.len() >= self.limit {
                        break;
                    }
                    out.push_str(if place == 0 { "" } else { ", " });
                    self.quoted(out, key);
                    out.push_str(": ");
                    if (self.secret)(key) { self.quoted(out, REDACTED) } else { self.value(out, item) }
                }
                out.push('}');
            }
        }
    }

    fn quoted(&self, out: &mut String, text: &str) {
        let room = self.limit.saturating_sub(out.len());
        quoted(out, text.get(..text.floor_char_boundary(room)).unwrap_or_default());
    }
}

fn python_number(out: &mut String, number: Number<'_>) {
    // Writing to a String cannot fail.
    let _ = match number {
        Number::Int(int) => write!(out, "{int}"),
        Number::Big(digits) => write!(out, "{digits}"),
        Number::Float(float) if float.is_nan() => write!(out, "nan"),
        Number::Float(float) if float.is_infinite() => write!(out, "{}", if float > 0.0 { "inf" } else { "-inf" }),
        Number::Float(float) => {
            let scientific = shortest(float);
            let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
            match exponent.parse::<i32>() {
                Ok(exponent) if !(-4..16).contains(&exponent) => {
                    let sign = if exponent < 0 { '-' } else { '+' };
                    write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs())
                }
                Ok(exponent) => {
                    let written = digits.bytes().filter(u8::is_ascii_digit).count();
                    let decimals = i32::try_from(written).unwrap_or(0) - 1 - exponent;
                    write!(out, "{float:.*}", usize::try_from(decimals).unwrap_or(0).max(1))
                }
                Err(_) => write!(out, "{float}"),
            }
        }
    };
}

/// The fewest digits that read back as the same float, in scientific notation. Of two decimals that are equally near,
/// Python takes the even one, and Rust's shortest form may be the other.
fn shortest(float: f64) -> String {
    let shortest = format!("{float:e}");
    let digits = shortest.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    let nearest = format!("{float:.*e}", digits.saturating_sub(1));
    if nearest.parse() == Ok(float) { nearest } else { shortest }
}

/// A string inside of a list or map.
fn quoted(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        let _ = match character {
            '\\' => write!(out, "\\\\"),
            '\n' => write!(out, "\\n"),
            '\r' => write!(out, "\\r"),
            '\t' => write!(out, "\\t"),
            own if own == quote => write!(out, "\\{own}"),
            shown if !is_unprintable(shown) => write!(out, "{shown}"),
            hidden => match u32::from(hidden) {
                code @ ..=0xff => write!(out, "\\x{code:02x}"),
                code @ ..=0xffff => write!(out, "\\u{code:04x}"),
                code => write!(out, "\\U{code:08x}"),
            },
        };
    }
    out.push(quote);
}

fn is_unprintable(character: char) -> bool {
    !(' '..='~').contains(&character) && classes::contains(&tables::UNPRINTABLE, character)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Builder, Tape};

    #[test]
    fn values_are_written_as_python_writes_them() {
        for (json, expected) in [
            (r#""v""#, "v"),
            ("5", "5"),
            ("-0", "0"),
            ("1.0", "1.0"),
            ("-0.0", "-0.0"),
            ("true", "True"),
            ("false", "False"),
            ("null", "None"),
            ("100000000000000000000", "100000000000000000000"),
            ("1e22", "1e+22"),
            ("1e15", "1000000000000000.0"),
            ("1e16", "1e+16"),
            ("123456789012345680.0", "1.2345678901234568e+17"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("1.5e-7", "1.5e-07"),
            ("1e-300", "1e-300"),
            ("0.1", "0.1"),
            ("1255034593463031.25", "1255034593463031.2"),
            ("-1188988148776848.2", "-1188988148776848.2"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("9007199254740993.0", "9007199254740992.0"),
            ("120.0", "120.0"),
            ("0.00012", "0.00012"),
            ("1e400", "inf"),
            ("-1e400", "-inf"),
            (r#"[1,"a",null,true,1.5,{"k":"v"}]"#, "[1, 'a', None, True, 1.5, {'k': 'v'}]"),
            (r#"["it's","\"","'\"","a\\b","\n\t\r\u0000\u007f"]"#, r#"["it's", '"', '\'"', 'a\\b', '\n\t\r\x00\x7f']"#),
            (
                r#"["é😀","\u00a0\u00ad\u200b\u2028","\ud83a\udfff\u0378"]"#,
                r"['é😀', '\xa0\xad\u200b\u2028', '\U0001ebff\u0378']",
            ),
            (r#"{"a":[],"b":{}}"#, "{'a': [], 'b': {}}"),
        ] {
            let tape = Tape::read(json).unwrap();
            let mut out = String::new();
            python(&mut out, tape.root());
            assert_eq!(out, expected, "{json}");
        }
        let mut builder = Builder::new();
        builder.float(f64::NAN);
        let mut out = String::new();
        python(&mut out, builder.finish().root());
        assert_eq!(out, "nan");
    }

    #[test]
    fn secrets_inside_of_maps_are_not_shown() {
        let tape = Tape::read(r#"{"a":{"password":["x"]},"b":1}"#).unwrap();
        let mut out = String::new();
        python_without(&mut out, tape.root(), 1000, &|key| key == "password");
        assert_eq!(out, "{'a': {'password': '[REDACTED]'}, 'b': 1}");
    }

    #[test]
    fn huge_values_are_not_written_out_for_a_message() {
        let list = format!("[{}]", vec!["[[1],\"abc\"]"; 10_000].join(","));
        for json in [list, format!("[\"{}\"]", "é".repeat(100_000)), format!("\"{}\"", "é".repeat(100_000))] {
            let tape = Tape::read(&json).unwrap();
            let mut out = String::new();
            python_without(&mut out, tape.root(), 1001, &|_| false);
            assert!((900..1100).contains(&out.len()), "{}", out.len());
        }
    }

    #[test]
    fn output_text_keeps_numbers_as_they_came() {
        for (json, expected) in [
            (r#""a\nb""#, "a\nb"),
            ("5", "5"),
            ("true", "true"),
            ("1.5", "1.5"),
            (
                r#"{"a":"s\u00e9\n\"","b":[1.10,null,1e400,{}],"c":[]}"#,
                r#"{"a": "sé\n\"", "b": [1.10, null, 1e400, {}], "c": []}"#,
            ),
            ("[ 1 ,{ \"a\" : 2 } ]", r#"[1, {"a": 2}]"#),
        ] {
            let tape = Tape::read(json).unwrap();
            assert_eq!(output(tape.root()), expected, "{json}");
        }
        assert!(matches!(output(Tape::read("\"a\"").unwrap().root()), Cow::Borrowed("a")));
    }
}

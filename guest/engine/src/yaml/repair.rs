//! Mistakes after which reading can go on, and text that the reference accepts and the parser does not.
//!
//! The parser stops at its first error. Two kinds of error can be taken out of the text, so that the rest can be read
//! again from the start: a bad escape in a double-quoted scalar (reported, and replaced by a good one), and lines of a
//! flow collection or quoted scalar that are not indented (no mistake in YAML 1.1: they are moved to the right).

use saphyr_parser::ScanError;

use super::places::PAD;
use super::tree::quoted_length;

/// Bytes that may be read again, over all repairs: a text of ten kilobytes can be repaired a thousand times.
pub(super) const BUDGET: usize = 16 * 1024 * 1024;

/// Bytes that repairs may add.
const MAX_ADDED: usize = 1024 * 1024;

/// What to change before reading again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Repair {
    /// The escapes that begin at these bytes are none, and why; the character after the backslash becomes a backslash.
    Escapes(Vec<(usize, &'static str)>),
    /// These lines, by their first byte, are moved to the right.
    Indent(Vec<usize>),
}

/// What would help against an error at this byte of `text`.
pub(super) fn repair(error: &ScanError, byte: usize, text: &str) -> Option<Repair> {
    let rest = text.get(byte..)?;
    match error.info() {
        "invalid indentation" | "invalid indentation in flow construct" => {
            Some(Repair::Indent(vec![line_start(byte, text)]))
        }
        "invalid indentation in quoted scalar" => {
            let inside = rest.get(..quoted_length(rest))?;
            let lines: Vec<usize> = inside.match_indices('\n').map(|(at, _)| byte + at + 1).collect();
            (lines.len() * PAD <= MAX_ADDED).then_some(Repair::Indent(lines))
        }
        _ if rest.starts_with('"') => {
            let escapes: Vec<_> = bad_escapes(rest).into_iter().map(|(at, what)| (byte + at, what)).collect();
            (!escapes.is_empty()).then_some(Repair::Escapes(escapes))
        }
        _ => None,
    }
}

/// The text after a repair, and which lines (from 1) were moved; none when nothing would change or too much.
pub(super) fn apply(
    repair: &Repair,
    text: &str,
    moved: &std::collections::BTreeSet<usize>,
) -> Option<(String, Vec<usize>)> {
    match repair {
        Repair::Escapes(escapes) => {
            let mut out = String::with_capacity(text.len());
            let mut copied = 0;
            for (at, _) in escapes {
                let escaped = text.get(at + 1..)?.chars().next()?;
                out.push_str(text.get(copied..=*at)?);
                out.push('\\');
                copied = at + 1 + escaped.len_utf8();
            }
            out.push_str(text.get(copied..)?);
            Some((out, Vec::new()))
        }
        Repair::Indent(starts) => {
            let pad = " ".repeat(PAD);
            let mut out = String::with_capacity(text.len() + starts.len() * PAD);
            let mut lines = Vec::new();
            let (mut copied, mut line) = (0, 1);
            for start in starts {
                let before = text.get(copied..*start)?;
                line += line_breaks(before);
                if moved.contains(&line) {
                    continue;
                }
                out.push_str(before);
                out.push_str(&pad);
                copied = *start;
                lines.push(line);
            }
            out.push_str(text.get(copied..)?);
            (!lines.is_empty() && (moved.len() + lines.len()) * PAD <= MAX_ADDED).then_some((out, lines))
        }
    }
}

fn line_start(byte: usize, text: &str) -> usize {
    text.get(..byte).and_then(|before| before.rfind(['\n', '\r'])).map_or(0, |at| at + 1)
}

fn line_breaks(text: &str) -> usize {
    let bytes = text.as_bytes();
    bytes
        .iter()
        .enumerate()
        .filter(|(at, byte)| **byte == b'\n' || (**byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')))
        .count()
}

/// The bad escapes of a double-quoted scalar.
fn bad_escapes(scalar: &str) -> Vec<(usize, &'static str)> {
    let mut bad = Vec::new();
    let mut characters = scalar.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => break,
            '\\' => {
                let Some((_, escaped)) = characters.next() else { break };
                if let Some(what) = fault(escaped, scalar.get(at + 1 + escaped.len_utf8()..).unwrap_or("")) {
                    bad.push((at, what));
                }
            }
            _ => {}
        }
    }
    bad
}

/// What is wrong with an escape, given the character after its backslash and what follows.
fn fault(escaped: char, rest: &str) -> Option<&'static str> {
    let digits = match escaped {
        '0' | 'a' | 'b' | 't' | '\t' | 'n' | 'v' | 'f' | 'r' | 'e' | ' ' | '"' | '/' | '\\' | 'N' | '_' | 'L' | 'P'
        | '\n' | '\r' => return None,
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return Some("there is no such escape"),
    };
    let code: String = rest.chars().take(digits).collect();
    if code.len() != digits || !code.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Some("it needs more hexadecimal digits");
    }
    match u32::from_str_radix(&code, 16).ok() {
        Some(0xd800..0xe000) => Some("half of a surrogate pair is no character"),
        Some(code) if char::from_u32(code).is_some() => None,
        _ => Some("there is no such character"),
    }
}

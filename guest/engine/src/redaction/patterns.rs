//! A user's own patterns: regular expressions and what replaces them, applied before everything built in.

use std::borrow::Cow;

use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

/// Bound of one compiled pattern, in bytes.
const MAX_COMPILED: usize = 1 << 20;

/// Bound of what one pattern keeps while it searches, in bytes.
const MAX_CACHE: usize = 1 << 18;

/// A pattern and its replacement.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
    replacement: Vec<Part>,
}

/// A piece of a replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Pattern {
    /// A pattern of the `regex` crate's dialect, which matches in linear time. The replacement is written as for Python:
    /// `\1`, `\g<1>` and `\g<name>` stand for groups, `\\` for a backslash.
    pub(super) fn new(pattern: &str, replacement: &str) -> Result<Self, String> {
        let config = Regex::config().nfa_size_limit(Some(MAX_COMPILED)).hybrid_cache_capacity(MAX_CACHE);
        let regex = Regex::builder()
            .configure(config)
            .build(pattern)
            .map_err(|error| format!("`{pattern}` is not a pattern: {}", reason(&error)))?;
        let replacement = template(&regex, replacement)?;
        Ok(Self { regex, replacement })
    }

    /// Replaces every match, from left to right.
    pub(super) fn replace<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut out = String::new();
        let mut from = 0;
        for found in self.regex.captures_iter(text) {
            let Some(whole) = found.get_match() else { continue };
            out.push_str(text.get(from..whole.start()).unwrap_or_default());
            self.expand(&mut out, text, &found);
            from = whole.end();
        }
        if from == 0 && out.is_empty() {
            return Cow::Borrowed(text);
        }
        out.push_str(text.get(from..).unwrap_or_default());
        Cow::Owned(out)
    }

    fn expand(&self, out: &mut String, text: &str, found: &Captures) {
        for part in &self.replacement {
            match part {
                Part::Text(piece) => out.push_str(piece),
                Part::Group(group) => {
                    let span = found.get_group(*group);
                    out.push_str(span.and_then(|span| text.get(span.range())).unwrap_or_default());
                }
            }
        }
    }
}

fn reason(error: &regex_automata::meta::BuildError) -> String {
    error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string)
}

fn template(regex: &Regex, replacement: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = replacement;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let digits = after.len() - after.trim_start_matches(|char: char| char.is_ascii_digit()).len();
        let (name, tail) = if let Some(after) = after.strip_prefix('\\') {
            text.push('\\');
            rest = after;
            continue;
        } else if let Some((name, tail)) = after.strip_prefix("g<").and_then(|after| after.split_once('>')) {
            (name, tail)
        } else if digits > 0 {
            // At most two digits belong to it.
            after.split_at(digits.min(2))
        } else {
            return Err(format!("`{replacement}`: a backslash stands before a group or another backslash"));
        };
        let group = group(regex, name).ok_or_else(|| format!("`{replacement}`: no group `{name}` in the pattern"))?;
        parts.push(Part::Text(std::mem::take(&mut text)));
        parts.push(Part::Group(group));
        rest = tail;
    }
    parts.push(Part::Text(text + rest));
    parts.retain(|part| *part != Part::Text(String::new()));
    Ok(parts)
}

fn group(regex: &Regex, name: &str) -> Option<usize> {
    let info = regex.group_info();
    match name.parse() {
        Ok(number) => (number < info.group_len(regex_automata::PatternID::ZERO)).then_some(number),
        Err(_) => info.to_index(regex_automata::PatternID::ZERO, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_put_back_as_python_writes_them() {
        for (pattern, replacement, text, expected) in [
            (r"cust-\d+", "[ID]", "a cust-12 b cust-3", "a [ID] b [ID]"),
            (r"(\w+)@(\w+)", r"\1@\\", "me@home", r"me@\"),
            (r"(?P<user>\w+)@\w+", r"\g<user>@x\g<0>", "me@home", "me@xme@home"),
            (r"(a)", r"\g<1>0", "a", "a0"),
            ("x*", "-", "ab", "-a-b-"),
            ("é", "$1", "é", "$1"),
            ("(a)|(b)", r"<\2>", "ab", "<><b>"),
        ] {
            assert_eq!(Pattern::new(pattern, replacement).unwrap().replace(text), expected, "{pattern}");
        }
        assert!(matches!(Pattern::new("x", "y").unwrap().replace("abc"), Cow::Borrowed("abc")));
    }

    #[test]
    fn what_is_no_pattern_or_names_no_group_does_not_load() {
        for (pattern, replacement) in [
            ("(", ""),
            (r"(a)\1", ""),
            ("a", r"\1"),
            ("(a)", r"\2"),
            ("(a)", r"\g<x>"),
            ("a", r"\n"),
            ("a", "\\"),
            (r"\w{5000}{5000}", ""),
        ] {
            assert!(Pattern::new(pattern, replacement).is_err(), "{pattern} {replacement}");
        }
    }
}

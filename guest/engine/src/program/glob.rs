//! Case-sensitive `fnmatch` on a whole string (engine.md §5): `*`, `?`, `[seq]`, `[!seq]`. Dots, slashes, braces, carets
//! and backslashes are ordinary characters, and no text fails to be a glob.

use std::str::Chars;

/// A compiled glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    source: String,
    parts: Vec<Part>,
    /// The text, when there is only one that matches.
    literal: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    One(char),
    /// `?`
    Any,
    /// `*`
    Run,
    Set {
        negated: bool,
        /// Inclusive; a single character is a range of one.
        ranges: Vec<(char, char)>,
    },
}

impl Part {
    fn takes(&self, character: char) -> bool {
        match self {
            Self::One(own) => *own == character,
            Self::Any => true,
            Self::Run => false,
            Self::Set { negated, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&character)) != *negated
            }
        }
    }
}

impl Glob {
    /// Every text is a glob: a bracket that is not closed is a bracket.
    #[must_use]
    pub fn compile(glob: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = glob.chars();
        while let Some(character) = rest.next() {
            match character {
                '*' if parts.last() == Some(&Part::Run) => {}
                '*' => parts.push(Part::Run),
                '?' => parts.push(Part::Any),
                '[' => parts.push(set(&mut rest).unwrap_or(Part::One('['))),
                other => parts.push(Part::One(other)),
            }
        }
        let literal = parts.iter().map(|part| if let Part::One(own) = part { Some(*own) } else { None }).collect();
        Self { source: glob.to_owned(), parts, literal }
    }

    /// As written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the whole text matches. At worst the product of both lengths, never more.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        if let Some(literal) = &self.literal {
            return literal == text;
        }
        let mut rest = text.chars();
        let mut part = 0;
        // Where to go on when the last run must be one character longer. Earlier runs never need to be.
        let mut longer: Option<(usize, Chars<'_>)> = None;
        loop {
            match self.parts.get(part) {
                Some(Part::Run) => {
                    part += 1;
                    if part == self.parts.len() {
                        return true;
                    }
                    longer = Some((part, rest.clone()));
                    continue;
                }
                Some(own) => {
                    let mut after = rest.clone();
                    if after.next().is_some_and(|character| own.takes(character)) {
                        rest = after;
                        part += 1;
                        continue;
                    }
                }
                None if rest.as_str().is_empty() => return true,
                None => {}
            }
            let Some((after_run, mut from)) = longer.take() else { return false };
            if from.next().is_none() {
                return false;
            }
            part = after_run;
            rest = from.clone();
            longer = Some((after_run, from));
        }
    }

    /// The only text it matches, when it was written without wildcards (`[*]` is none).
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        self.literal.as_deref()
    }

    /// Whether it matches one text only.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.literal.is_some()
    }

    /// Whether it has a bracket that is not closed, and so is only a bracket.
    #[must_use]
    pub fn has_open_bracket(&self) -> bool {
        let mut rest = self.source.chars();
        while let Some(character) = rest.next() {
            if character == '[' && set(&mut rest).is_none() {
                return true;
            }
        }
        false
    }

    /// Whether it contains `*`, `?` or `[` (engine.md §13.2), which includes brackets that are literal.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.source.contains(['*', '?', '['])
    }
}

/// Reads a set after its bracket; `None`, and nothing read, when it is not closed.
fn set(rest: &mut Chars<'_>) -> Option<Part> {
    let mut ahead = rest.clone();
    let negated = ahead.as_str().starts_with('!');
    if negated {
        ahead.next();
    }
    let body = ahead.as_str();
    // A bracket that comes first is a member.
    let search_from = body.chars().next().filter(|first| *first == ']').map_or(0, char::len_utf8);
    let end = body.get(search_from..)?.find(']')? + search_from;
    let mut members = body.get(..end)?.chars();
    *rest = body.get(end + 1..)?.chars();

    let mut ranges = Vec::new();
    while let Some(first) = members.next() {
        let mut ahead = members.clone();
        if ahead.next() == Some('-')
            && let Some(last) = ahead.next()
        {
            members = ahead;
            // A reversed range has no members.
            if first <= last {
                ranges.push((first, last));
            }
        } else {
            ranges.push((first, first));
        }
    }
    Some(match (negated, ranges.as_slice()) {
        (false, [(first, last)]) if first == last => Part::One(*first),
        (true, []) => Part::Any,
        _ => Part::Set { negated, ranges },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn appendix_vectors_hold() {
        for (glob, matching, other) in [
            ("mcp_*", &["mcp_github", "mcp_"][..], &["xmcp_y", "Bash"][..]),
            ("a*b", &["a\nb", "ab", "axxb", "abb"], &["a", "ba", "abc"]),
            ("?", &["é", "😀", "\n"], &["", "ab"]),
            ("a[!c]", &["ab", "a!"], &["ac", "a"]),
            ("a[^b]", &["ab", "a^"], &["ax"]),
            ("a[b", &["a[b"], &["ab"]),
            ("a[]]", &["a]"], &["a", "a]]"]),
            ("a[!]]", &["ax"], &["a]"]),
            ("a[a-]", &["a-", "aa"], &["ab"]),
            ("a[-a]", &["a-", "aa"], &["ab"]),
            ("a[!-a]", &["ab"], &["a-", "aa"]),
            ("a[z-a]", &[], &["a", "az", "aa", "am", "a-"]),
            ("a[xz-ay]", &["ax", "ay"], &["az", "aa", "a-"]),
            ("a[!z-a]", &["az", "a-", "a\n"], &["a"]),
            ("a[a-c-e]", &["aa", "ab", "ac", "a-", "ae"], &["ad"]),
            ("[]-a]", &["]", "_", "a"], &["-", "b"]),
            ("[!]", &["[!]"], &["a", "!"]),
            ("[]", &["[]"], &["]"]),
            ("a{b,c}", &["a{b,c}"], &["ab"]),
            ("bash", &["bash"], &["Bash", "bash\n"]),
            ("*", &["", ".x", "a/b"], &[]),
            ("", &[""], &["a"]),
            ("**a**", &["a", "bab"], &["b"]),
            ("a\\*", &["a\\", "a\\b"], &["a*", "ab"]),
            ("[*]", &["*"], &["a", ""]),
            ("*.a.com", &["x.a.com", "x.y.a.com", ".a.com"], &["a.com"]),
        ] {
            let glob = Glob::compile(glob);
            for text in matching {
                assert!(glob.matches(text), "{glob:?} {text:?}");
            }
            for text in other {
                assert!(!glob.matches(text), "{glob:?} {text:?}");
            }
        }
    }

    #[test]
    fn knows_what_matches_one_text_only() {
        for (glob, literal, wildcard) in [
            ("Bash", Some("Bash"), false),
            ("a[*]", Some("a*"), true),
            ("a[b", Some("a[b"), true),
            ("a?", None, true),
            ("a[bc]", None, true),
            ("", Some(""), false),
        ] {
            let glob = Glob::compile(glob);
            assert_eq!(glob.literal(), literal, "{glob:?}");
            assert_eq!(glob.is_literal(), literal.is_some());
            assert_eq!(glob.has_wildcard(), wildcard, "{glob:?}");
        }
    }

    #[test]
    fn knows_brackets_that_do_not_close() {
        for (glob, open) in [
            ("a[b", true),
            ("[!]", true),
            ("[]", true),
            ("[]]", false),
            ("a[b]c[", true),
            ("[[]", false),
            ("a]", false),
        ] {
            assert_eq!(Glob::compile(glob).has_open_bracket(), open, "{glob}");
        }
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let glob = Glob::compile(&"*a".repeat(200));
        assert!(!glob.matches(&format!("{}b", "a".repeat(10_000))));
        assert!(glob.matches(&"a".repeat(10_000)));
    }

    /// Tries every length of every run.
    fn naive(parts: &[Part], text: &[char]) -> bool {
        match (parts.split_first(), text.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some((Part::Run, others)), _) => (0..=text.len()).any(|length| naive(others, &text[length..])),
            (Some((part, others)), Some((first, rest))) => part.takes(*first) && naive(others, rest),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_trying_everything(glob in "[ab*?\\[\\]!-]{0,8}", text in "[abc\\[\\]!-]{0,8}") {
            let compiled = Glob::compile(&glob);
            let characters: Vec<char> = text.chars().collect();
            prop_assert_eq!(compiled.matches(&text), naive(&compiled.parts, &characters));
            if let Some(literal) = compiled.literal() {
                prop_assert!(compiled.matches(literal));
            }
        }
    }
}

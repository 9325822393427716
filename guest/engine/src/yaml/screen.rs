//! What is checked before a text is parsed: its size, characters that no reader agrees on, and the `%YAML` directive.

use crate::diagnostics::{Code, Findings, Span};

/// So many forbidden characters are named; a binary file has more.
const MAX_NAMED: usize = 10;

/// Reports what makes the text unreadable as a whole. True when it may be parsed.
pub(super) fn screen(text: &str, cap: usize, findings: &mut Findings) -> bool {
    if text.len() > cap {
        findings
            .error(
                Code::DocTooLarge,
                Span::default(),
                format!("the document has {} bytes, and at most {cap} are read", text.len()),
            )
            .help("split it into several files");
        return false;
    }
    directive(text, findings) && characters(text, findings)
}

/// Directives stand before the only document there may be. Any 1.x is read as 1.1, as in the reference.
fn directive(text: &str, findings: &mut Findings) -> bool {
    let mut found = true;
    for (line, content) in (1..).zip(text.lines()) {
        if let Some(version) = content.strip_prefix("%YAML") {
            let version = version.trim_start();
            if !version.starts_with("1.") {
                let columns = u32::try_from(content.trim_end().chars().count()).unwrap_or(u32::MAX);
                let span = Span { line, column: 1, end_line: line, end_column: columns.saturating_add(1) };
                findings
                    .error(Code::YamlSyntax, span, format!("YAML parse error at line {line}, column 1: not YAML 1.x"))
                    .help("remove the line");
                found = false;
            }
        } else if !(content.starts_with(['%', '#']) || content.trim().is_empty()) {
            break;
        }
    }
    found
}

/// What is behind a ` #` counts as a comment, in quotes too: there such a character can be written as an escape, and a
/// comment that only some readers end must not be missed.
fn characters(text: &str, findings: &mut Findings) -> bool {
    let mut named = 0;
    let (mut line, mut column) = (1, 1);
    let mut before = ' ';
    let mut comment = false;
    for character in text.chars() {
        match character {
            '\n' | '\r' => {
                if character == '\r' || before != '\r' {
                    line += 1;
                }
                column = 0;
                comment = false;
            }
            '#' if matches!(before, ' ' | '\t' | '\n' | '\r') => comment = true,
            _ => {}
        }
        let what = match character {
            '\t' | '\n' | '\r' => None,
            '\u{85}' | '\u{2028}' | '\u{2029}' if comment => {
                Some("ends a line for some readers and not for others, and must not be in a comment")
            }
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {
                Some("is not permitted in YAML")
            }
            '\u{feff}' if column == 1 && line > 1 || column == 2 && line == 1 && before == character => {
                Some("begins a line, where it marks a byte order")
            }
            _ => None,
        };
        if let Some(what) = what {
            let span = Span { line, column, end_line: line, end_column: column + 1 };
            let code = u32::from(character);
            findings
                .error(
                    Code::YamlSyntax,
                    span,
                    format!("YAML parse error at line {line}, column {column}: the character U+{code:04X} {what}"),
                )
                .help("write it as an escape in double quotes, or remove it");
            named += 1;
            if named == MAX_NAMED {
                break;
            }
        }
        column += 1;
        before = character;
    }
    named == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_place_of_hidden_characters() {
        for (text, place) in [
            ("a: b\nc: \u{0}d\n", Some((2, 4))),
            ("a: \u{1b}[0m", Some((1, 4))),
            ("a\r\nb\rc: \u{7f}", Some((3, 4))),
            ("# note\u{2028}rules: []", Some((1, 7))),
            ("a: b # note\u{85}rules: []", Some((1, 12))),
            ("é: \u{9f}", Some((1, 4))),
            ("\u{feff}\u{feff}a: b", Some((1, 2))),
            ("a: b\n\u{feff}c: d", Some((2, 1))),
            ("\u{feff}a: b", None),
            ("a: \"x\u{2028}y\" 'z#'", None),
            ("\ta: é😀\u{a0}\u{feff}\r\n", None),
        ] {
            let mut findings = Findings::of("t");
            assert_eq!(screen(text, 1000, &mut findings), place.is_none(), "{text:?}");
            let found = findings.into_list();
            assert_eq!(found.first().map(|finding| (finding.span.line, finding.span.column)), place, "{text:?}");
        }
    }

    #[test]
    fn size_is_counted_in_bytes_and_the_cap_is_permitted() {
        let mut findings = Findings::of("t");
        assert!(screen("éé", 4, &mut findings));
        assert!(!screen("ééa", 4, &mut findings));
        let found = findings.into_list();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].code, Code::DocTooLarge);
        assert!(found[0].message.contains('5') && found[0].message.contains('4'));
    }

    #[test]
    fn versions_that_are_not_one_are_refused() {
        for (text, fine) in [
            ("%YAML 1.1\n---\na: b", true),
            ("%YAML 1.2\n---\na: b", true),
            ("# c\n%YAML 2.0\n---\na: b", false),
            ("%YAML 12.0\n---\na: b", false),
            ("a: b\n%YAML 2.0", true),
        ] {
            assert_eq!(screen(text, 1000, &mut Findings::of("t")), fine, "{text}");
        }
    }
}
